import { connect } from 'node:net'
import t, { type Test } from 'tap'
import { createApp, withToken } from '../fixtures/app.js'
import { type StartedRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { startRespProxy } from '../fixtures/redis/start-resp-proxy.js'
import { until } from '../fixtures/until.js'
import { createJwtApp, forge, type JwtApp, OLD_SECRET } from './old-apps.js'
import { startExample } from './start-example.js'

const SESSION_SECRET = 'the secret of the new app, 32 bytes or more'
const ADA = { user: { id: 'ada' } }

interface Scene {
  redis: StartedRedis
  old: JwtApp
  url: string
  exchange(token: string): Promise<Response>
  /** The keys of old sessions, and of exchanges. */
  keys(): Promise<string[]>
}

/** The program with a Redis of its own, between which a test may stand. */
async function createScene(
  t: Test,
  { env = {}, redisUrl }: { env?: Record<string, string>; redisUrl?: (redis: StartedRedis) => Promise<string> } = {}
): Promise<Scene> {
  const redis = await startRedis(t, { tcp: true })
  const client = redis.client()
  const REDIS_URL = (await redisUrl?.(redis)) ?? redis.url ?? ''
  const url = await startExample(t, 'migrate-jwt-redis-session', {
    ...{ SESSION_SECRET, OLD_SECRET, REDIS_URL, EXCHANGE_UNTIL: '2999-01-01' },
    ...env
  })
  return {
    redis,
    old: createJwtApp(client),
    url,
    exchange: (token) => fetch(`${url}/user/exchange`, { method: 'POST', headers: { 'x-access-token': token } }),
    keys: async () => (await client.keys('*sess:*')).toSorted()
  }
}

async function visit(url: string, answer: Response): Promise<unknown> {
  const { access_token } = (await answer.json()) as { access_token: string }
  const me = await fetch(`${url}/me`, { headers: { authorization: `Bearer ${access_token}` } })
  return me.json()
}

t.test('while all is well', async (t) => {
  const scene = await createScene(t)
  await t.test('an old session becomes a new one, once', (t) => testOnce(t, scene))
  await t.test('of 20 exchanges at once one wins', (t) => testRace(t, scene))
  await t.test('a token that jwt-redis-session would refuse, or did not make, opens nothing', (t) =>
    testAttacks(t, scene)
  )
  await t.test('two tokens, or a token in the URL, open nothing', (t) => testPlaces(t, scene))
})

async function testOnce(t: Test, { old, url, exchange, keys }: Scene): Promise<void> {
  const token = await old.logIn(ADA, { name: 'Ada' })
  t.match((await keys())[0], /^sess:[\da-f-]{36}$/, 'a key that the package has made')
  t.type(await old.find(token), 'string')
  const answer = await exchange(token)
  t.equal(answer.status, 200)
  t.strictSame(await visit(url, answer), { id: 'ada' })
  await until(async () => (await keys()).length === 0)
  t.equal(await old.find(token), undefined)
  t.equal((await exchange(token)).status, 401)
}

async function testRace(t: Test, { old, url, exchange, keys }: Scene): Promise<void> {
  const token = await old.logIn(ADA)
  const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(token)))
  const statuses = answers.map(({ status }) => status)
  t.equal(statuses.filter((status) => status === 200).length, 1)
  t.strictSame(
    statuses.filter((status) => ![200, 401, 409].includes(status)),
    []
  )
  const winner = answers.find(({ status }) => status === 200)
  if (winner) t.strictSame(await visit(url, winner), { id: 'ada' })
  await until(async () => (await keys()).length === 0)
}

async function testAttacks(t: Test, { redis, old, exchange, keys }: Scene): Promise<void> {
  const token = await old.logIn(ADA)
  const [header = '', payload = '', mac = ''] = token.split('.')
  const { jti } = JSON.parse(Buffer.from(payload, 'base64url').toString())
  const none = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url')
  const now = Math.floor(Date.now() / 1_000)
  const client = redis.client()
  await client.set('sess:*', JSON.stringify(ADA))
  await client.set('sess:', JSON.stringify(ADA))
  await client.hset('sess:00000000-0000-4000-8000-000000000000', 'user', 'ada')
  await client.set('sess:00000000-0000-4000-8000-000000000001', '{"user":{"id":"ada"')
  await client.set('sess:00000000-0000-4000-8000-000000000002', 'null')
  await client.set('sess:00000000-0000-4000-8000-000000000003', '{"user":{"id":{"id":"ada"}}}')
  await client.set('sess:00000000-0000-4000-8000-000000000004', '{"user":{"id":"__proto__"}}')
  await client.set('other', JSON.stringify(ADA))
  const before = await keys()
  const attacks: Record<string, string> = {
    'alg none': `${none}.${payload}.`,
    'alg none with the MAC': `${none}.${payload}.${mac}`,
    'no MAC': `${header}.${payload}.`,
    'two parts': `${header}.${payload}`,
    'four parts': `${token}.x`,
    'a wrong MAC': `${header}.${payload}.${mac.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A'))}`,
    'a shorter MAC': token.slice(0, -1),
    'a longer MAC': `${token}A`,
    'a MAC in base64': `${token}=`,
    'a MAC whose last letter has other spare bits': token.replace(/.$/, (letter) =>
      letter === 'A' ? 'B' : String.fromCharCode(letter.charCodeAt(0) + 1)
    ),
    'a token of another secret': forge({ payload: { jti }, secret: 'another secret of 32 bytes or more, too' }),
    'a token of the new secret': forge({ payload: { jti }, secret: SESSION_SECRET }),
    'another hash': forge({ header: { alg: 'HS512', typ: 'JWT' }, payload: { jti }, hash: 'sha512' }),
    'another header': forge({ header: { typ: 'JWT', alg: 'HS256' }, payload: { jti } }),
    'a token of the plugin': forge({ header: { alg: 'HS256', typ: 'at+jwt' }, payload: { jti } }),
    expired: forge({ payload: { jti, exp: now - 1 } }),
    'not valid yet': forge({ payload: { jti, nbf: now + 60 } }),
    'exp of nonsense': forge({ payload: { jti, exp: { valueOf: 1 } } }),
    'no jti': forge({ payload: { id: jti } }),
    'jti is a pattern': forge({ payload: { jti: '*' } }),
    'jti is empty': forge({ payload: { jti: '' } }),
    'jti has a newline': forge({ payload: { jti: `${jti}\n` } }),
    'jti is a list': forge({ payload: { jti: [jti] } }),
    'jti in capitals': forge({ payload: { jti: jti.toUpperCase() } }),
    'jti is very long': forge({ payload: { jti: jti.repeat(200) } }),
    'jti leads to another key': forge({ payload: { jti: '../other' } }),
    'a key of another type': forge({ payload: { jti: '00000000-0000-4000-8000-000000000000' } }),
    'a session that is not JSON': forge({ payload: { jti: '00000000-0000-4000-8000-000000000001' } }),
    'a session that is null': forge({ payload: { jti: '00000000-0000-4000-8000-000000000002' } }),
    'a user id that is an object': forge({ payload: { jti: '00000000-0000-4000-8000-000000000003' } }),
    'a user id of the prototype': forge({ payload: { jti: '00000000-0000-4000-8000-000000000004' } }),
    'no session': forge({ payload: { jti: '00000000-0000-4000-8000-000000000005' } }),
    'a payload that is null': forge({ payload: null }),
    'a payload that is a text': forge({ payload: 'x' }),
    'an unknown user': await old.logIn({ user: { id: 'eve' } }),
    'a session without a user': await old.logIn({}),
    text: 'x',
    nothing: ''
  }
  for (const [name, attack] of Object.entries(attacks)) {
    const answer = await exchange(attack)
    t.equal(answer.status, 401, name)
    t.equal(answer.headers.get('session-ended'), null, name)
    t.match(await answer.json(), { code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' }, name)
  }
  await until(async () => (await client.keys('exchange:*')).length === 0)
  const after = await keys()
  t.strictSame(
    before.filter((key) => !after.includes(key)),
    [],
    'and nothing was deleted'
  )
  t.equal((await exchange(token)).status, 200, 'the session is still there')
}

async function testPlaces(t: Test, { old, url }: Scene): Promise<void> {
  const token = await old.logIn(ADA)
  const headers = new Headers([
    ['x-access-token', token],
    ['x-access-token', token]
  ])
  t.equal((await fetch(`${url}/user/exchange`, { method: 'POST', headers })).status, 401)
  t.equal((await fetch(`${url}/user/exchange?accessToken=${token}`, { method: 'POST' })).status, 401)
}

t.test('after the date the answer is 410, and the old session stays', async (t) => {
  const { old, exchange, keys } = await createScene(t, { env: { EXCHANGE_UNTIL: '2026-01-01' } })
  t.equal((await exchange(await old.logIn(ADA))).status, 410)
  t.equal((await keys()).length, 1)
  await t.rejects(createScene(t, { env: { EXCHANGE_UNTIL: 'soon' } }), { message: 'Set EXCHANGE_UNTIL' })
})

t.test('while Redis is away the answer is 503, and afterwards the session is still there', async (t) => {
  const { redis, old, exchange } = await createScene(t)
  const token = await old.logIn(ADA)
  redis.stall()
  const answer = await exchange(token)
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('session-ended'), null)
  t.equal(answer.headers.get('retry-after'), '1')
  redis.resume()
  // What the program sent before it gave up was carried out: the lock stays for a while.
  await until(async () => (await exchange(token)).status === 200, 30)
  await redis.kill()
  t.equal((await exchange(token)).status, 503)
})

t.test('a login that fails keeps the old session, and the next attempt succeeds at once', async (t) => {
  const { redis, old, exchange, keys } = await createScene(t)
  const token = await old.logIn(ADA)
  await redis.client().call('ACL', 'SETUSER', 'default', '-evalsha', '-eval')
  const answer = await exchange(token)
  t.equal(answer.status, 503)
  t.equal(answer.headers.get('session-ended'), null)
  await until(async () => (await keys()).length === 1)
  await redis.client().call('ACL', 'SETUSER', 'default', '+evalsha', '+eval')
  t.equal((await exchange(token)).status, 200)
})

t.test('an answer that does not reach the client keeps the old session', async (t) => {
  const { redis, old, url, exchange, keys } = await createScene(t)
  const token = await old.logIn(ADA)
  const client = redis.client()
  await client.call('CLIENT', 'PAUSE', '300', 'WRITE')
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  socket.write(`POST /user/exchange HTTP/1.1\r\nHost: x\r\nx-access-token: ${token}\r\nContent-Length: 0\r\n\r\n`)
  await until(async () => (await client.info('clients')).includes('blocked_clients:1'))
  socket.destroy()
  await until(async () => (await keys()).length === 1 && (await exchange(token)).status === 200, 30)
})

t.test('a deletion that Redis does not answer is repeated, and no exchange succeeds meanwhile', async (t) => {
  let isRefused = true
  let deletions = 0
  const { old, exchange, keys } = await createScene(t, {
    async redisUrl(redis) {
      const proxy = await startRespProxy(t, redis)
      proxy.answer(([name]) =>
        name === 'DEL' && isRefused && ++deletions > 0 ? '-LOADING Redis is loading\r\n' : undefined
      )
      return proxy.url
    }
  })
  const token = await old.logIn(ADA)
  t.equal((await exchange(token)).status, 200)
  await until(() => deletions > 1)
  const early = await exchange(token)
  t.equal(early.status, 409)
  t.equal(early.headers.get('retry-after'), '1', 'by which the page knows that it tries again')
  isRefused = false
  await until(async () => (await keys()).length === 0)
  t.equal((await exchange(token)).status, 401)
})

t.test(
  'the guard takes no old token, also with the same secret: 401 with the clear signal, so the exchange comes first',
  async (t) => {
    const redis = await startRedis(t)
    const app = await createApp(t, { jwt: { secret: OLD_SECRET } })
    const token = await createJwtApp(redis.client()).logIn(ADA)
    const answer = await app.inject(withToken(token))
    t.equal(answer.statusCode, 401)
    t.equal(answer.headers['session-ended'], 'invalid_token')
    t.equal(answer.headers['clear-site-data'], '"storage"')
    const inOldHeader = await app.inject({ url: '/me', headers: { 'x-access-token': token } })
    t.equal(inOldHeader.json().code, 'FST_JWT_SESSION_MISSING', 'the header of old tokens is not read')
    t.equal(inOldHeader.headers['session-ended'], undefined)
  }
)
