import { createHmac } from 'node:crypto'
import t, { type Test } from 'tap'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'
import { type CookieOldApp, OLD_SECRET, startExpressSession, startFastifySession } from './old-apps.js'
import { startExample } from './start-example.js'

const SESSION_SECRET = 'the secret of the new app, 32 bytes or more'

/** The program, and an old app with the same Redis. */
async function createScene(t: Test, startOld: (t: Test, redis: Client) => Promise<CookieOldApp>, OLD_COOKIE: string) {
  const redis = await startRedis(t, { tcp: true })
  const client = redis.client()
  const env = { SESSION_SECRET, OLD_SECRET, REDIS_URL: redis.url ?? '', EXCHANGE_UNTIL: '2999-01-01', OLD_COOKIE }
  const url = await startExample(t, 'migrate-express-session', env)
  const exchange = (cookie: string, headers: Record<string, string> = {}) =>
    fetch(`${url}/user/exchange`, { method: 'POST', headers: { cookie, 'sec-fetch-site': 'same-origin', ...headers } })
  const visit = (cookie: string) => fetch(`${url}/me`, { headers: { cookie } })
  return { redis, client, old: await startOld(t, client), url, exchange, visit }
}

type Client = Parameters<typeof startExpressSession>[1]
type Scene = Awaited<ReturnType<typeof createScene>>

async function testExchange(t: Test, { client, old, exchange, visit }: Scene, name: string): Promise<void> {
  const cookie = await old.logIn()
  t.equal(await old.visit(cookie), 200)
  t.equal((await visit(cookie)).status, 401, 'the guard does not take the old cookie')
  const answer = await exchange(`theme=dark; ${cookie}; a=b`)
  t.equal(answer.status, 200)
  t.match(await answer.json(), { token_type: 'Cookie', user: { id: 'ada' } })
  const [own = '', deleted] = answer.headers.getSetCookie()
  t.match(own, /^__Host-Http-session=[^;]+; Path=\/; Secure; HttpOnly; SameSite=Lax/)
  t.equal(deleted, `${name}=; Path=/; Max-Age=0`)
  const me = await visit(own.split(';')[0] ?? '')
  t.strictSame(await me.json(), { id: 'ada' })
  await until(async () => (await client.keys('*sess:*')).length === 0)
  t.equal(await old.visit(cookie), 401)
  t.equal((await exchange(cookie)).status, 401)

  const second = await old.logIn()
  const answers = await Promise.all(Array.from({ length: 20 }, () => exchange(second)))
  t.equal(answers.filter(({ status }) => status === 200).length, 1)
  await until(async () => (await client.keys('*sess:*')).length === 0)
}

async function testAttacks(t: Test, { client, old, exchange }: Scene, name: string): Promise<void> {
  const cookie = await old.logIn()
  const value = decodeURIComponent(cookie.slice(name.length + 1))
  const [, id = '', mac = ''] = /^(?:s:)?(.*)\.(.*)$/.exec(value) ?? []
  const signed = (text: string, secret = OLD_SECRET) =>
    encodeURIComponent(`${text}.${createHmac('sha256', secret).update(text).digest('base64').replace(/=+$/, '')}`)
  await client.set('sess:*', '{"user":{"id":"ada"}}')
  const attacks = {
    'a wrong MAC': `${id}.${mac.replace(/^./, (letter) => (letter === 'A' ? 'B' : 'A'))}`,
    'a shorter MAC': `${id}.${mac.slice(0, -1)}`,
    'a longer MAC': `${id}.${mac}A`,
    'a padded MAC': `${id}.${mac}=`,
    'no MAC': id,
    'an empty MAC': `${id}.`,
    'another secret': signed(id, SESSION_SECRET),
    'an id of other characters': signed('*'),
    'a long id': signed(`${id}${id}`),
    'an id with the prefix': signed(`s:${id}`),
    'no session': signed('x'.repeat(32)),
    'bad encoding': '%E0%A4%A',
    'an unknown user': signed('y'.repeat(32)),
    nothing: ''
  }
  await client.set(`sess:${'y'.repeat(32)}`, '{"cookie":{},"user":{"id":"eve"}}', 'EX', 600)
  for (const [what, attack] of Object.entries(attacks)) {
    t.equal((await exchange(`${name}=${attack}`)).status, 401, what)
  }
  t.equal((await exchange('')).status, 401)
  t.equal((await exchange(`x${cookie}`)).status, 401, 'another name')
  const foreign = await exchange(cookie, { 'sec-fetch-site': 'cross-site', origin: 'https://evil.example' })
  t.equal(foreign.status, 403, 'a page of another site')
  t.strictSame(foreign.headers.getSetCookie(), [])
  await until(async () => (await client.keys('exchange:*')).length === 0)
  t.equal(await old.visit(cookie), 200, 'the old session is still there')
}

t.test('express-session', async (t) => {
  const scene = await createScene(t, startExpressSession, 'connect.sid')
  await testExchange(t, scene, 'connect.sid')
  await testAttacks(t, scene, 'connect.sid')
  const cookie = await scene.old.logIn()
  scene.redis.stall()
  const refused = await scene.exchange(cookie)
  t.equal(refused.status, 503)
  t.strictSame(refused.headers.getSetCookie(), [], 'the old cookie stays')
  scene.redis.resume()
})

t.test('@fastify/session', async (t) => {
  const scene = await createScene(t, startFastifySession, 'sessionId')
  await testExchange(t, scene, 'sessionId')
  await testAttacks(t, scene, 'sessionId')
  const prefixed = await startFastifySession(t, scene.client, { cookiePrefix: 's:' })
  t.equal((await scene.exchange(await prefixed.logIn())).status, 200)
})
