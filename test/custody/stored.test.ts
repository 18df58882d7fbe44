import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createRedisStore } from '../../lib/index.js'
import { splitSessionId } from '../../lib/model/session-id.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { type CustodyAppOptions, createCustodyApp, numberOf } from '../fixtures/custody-app.js'
import { createFaults } from '../fixtures/faults.js'
import { createLog } from '../fixtures/log.js'
import { TOKENS_SECRET } from '../fixtures/planted-secrets.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { createUser } from '../fixtures/store-user.js'
import { startTokenUpstream, type TokenUpstream } from '../fixtures/token-upstream.js'
import { until } from '../fixtures/until.js'

/** An app on a Redis of its own, with the keys that hold tokens. */
async function createStoredApp(t: Test, options: CustodyAppOptions = {}) {
  const redis = await connectRedis(t)
  const upstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, upstream, { redis, ...options })
  const prefix = redis.options.keyPrefix ?? ''
  const keys = async (end = '') => (await redis.keys(`${prefix}fjs:{*${end}`)).map((key) => key.slice(prefix.length))
  return {
    ...{ redis, upstream, app, keys },
    /** The keys of sessions with tokens. */
    boxes: async () => (await keys('.t')).filter((key) => !key.endsWith('}.t')),
    /** The keys that name sessions with tokens. */
    holders: () => keys('}.t')
  }
}

async function onlySessionOf(app: FastifyInstance, userId: string): Promise<string> {
  const [session] = await app.sessions.list(userId)
  return session?.id ?? ''
}

function keyOf(id: string): string {
  const [tag, random] = splitSessionId(id)
  return `fjs:{${tag}}${random}.t`
}

t.test('in Redis the tokens are encrypted, beside the session, for as long as the session', async (t) => {
  const { app, redis, keys, boxes, holders } = await createStoredApp(t)
  const token = await logIn(app)
  const id = await onlySessionOf(app, 'ada')
  t.strictSame(await boxes(), [keyOf(id)])
  t.equal((await holders()).length, 1)
  for (let number = 1; number < 3; number++) {
    const text = (await redis.get(keyOf(id))) ?? ''
    t.match(text, /^1\.[\w-]{8}\.[\w-]{100,}$/)
    t.notMatch(Buffer.from(text.split('.')[2] ?? '', 'base64url').toString('latin1'), /planted|ada/)
    const head = `fjs:{${splitSessionId(id)[0]}}`
    for (const key of [keyOf(id), `${head}.t`]) {
      t.ok(Math.abs((await redis.pttl(key)) - (await redis.pttl(head))) < 1_000, 'the TTL of the session')
    }
    t.equal(await numberOf(app, token, number), number + 1)
  }
  t.equal((await keys()).filter((key) => !key.endsWith('beat')).length, 3)
})

const WAYS: Record<string, (app: FastifyInstance, token: string, redis: Redis) => Promise<unknown>> = {
  'a logout': (app, token) => app.inject(logout(token)),
  'revoke()': async (app) => app.sessions.revoke(await onlySessionOf(app, 'ada')),
  'revokeAll()': (app) => app.sessions.revokeAll('ada'),
  'an eviction': (app) => app.sessions.create({ id: 'ada' }),
  'a login with its token': (app, token) =>
    app.inject(
      withToken(token, {
        method: 'POST',
        url: '/user/login',
        payload: { username: 'bob', password: 'correct horse battery staple' }
      })
    ),
  'an end in the background': async (app, _token, redis) => {
    const store = createRedisStore(redis)
    await store.end(await onlySessionOf(app, 'ada'), 'revoked')
  }
}

for (const [name, end] of Object.entries(WAYS)) {
  t.test(`${name} deletes the tokens of the session`, async (t) => {
    const { app, redis, boxes, holders } = await createStoredApp(t, { session: { maxPerUser: 1 } })
    const token = await logIn(app)
    const other = await logIn(app, 'eve')
    const id = await onlySessionOf(app, 'ada')
    await end(app, token, redis)
    t.notOk((await boxes()).includes(keyOf(id)))
    t.ok((await boxes()).includes(keyOf(await onlySessionOf(app, 'eve'))))
    t.equal((await holders()).length, (await boxes()).length)
    t.match(await numberOf(app, token), '401 ENDED')
    t.equal(await numberOf(app, other), 1)
  })
}

t.test('a session that is evicted or replaced leaves no tokens in Redis, wherever its record was', async (t) => {
  const redis = await connectRedis(t)
  const store = createRedisStore(redis)
  for (const others of [0, 1]) {
    for (const way of ['evict', 'replaces'] as const) {
      const { open, openMany } = createUser(store)
      const { id } = await open({ tokens: 'x' })
      await openMany(others)
      t.equal(await redis.get(keyOf(id)), 'x')
      await open(way === 'evict' ? { limit: { max: 1 + others, onFull: way } } : { replaces: id })
      t.strictSame([await redis.get(keyOf(id)), await redis.exists(`${keyOf(id).slice(0, 22)}.t`)], [null, 0], way)
    }
  }
})

t.test('revokeAll() deletes the tokens of all sessions but one, and the set of them does not grow', async (t) => {
  const { app, redis, boxes } = await createStoredApp(t)
  const tokens = [await logIn(app), await logIn(app), await logIn(app)]
  const [kept, ...others] = (await app.sessions.list('ada')).map(({ id }) => id)
  const set = `fjs:{${splitSessionId(kept ?? '')[0]}}.t`
  await app.sessions.revokeAll('ada', { exceptId: kept })
  t.strictSame(await boxes(), [keyOf(kept ?? '')])
  t.strictSame(await redis.zrange(set, '0', '-1'), [splitSessionId(kept ?? '')[1]])
  t.equal(others.length, 2)
  t.equal(await numberOf(app, tokens[0] ?? ''), 1)
  // Sessions whose tokens have expired leave the set with later logins.
  for (let i = 0; i < 10; i++) await redis.zadd(set, String(i), `gone ${i}`)
  for (let i = 0; i < 5; i++) await logIn(app)
  t.equal(await redis.zcard(set), 6)
})

t.test('a user without tokens has no key for them', async (t) => {
  const { keys, redis } = await createStoredApp(t)
  const app = await createApp(t, { redis, session: { maxPerUser: 2 } })
  for (let i = 0; i < 4; i++) await logIn(app, 'bob')
  await app.inject(logout(await logIn(app, 'bob')))
  await app.sessions.revokeAll('bob')
  t.strictSame(await keys('.t'), [])
})

t.test('a text that was changed in Redis, or copied from another session, opens for no session', async (t) => {
  const { app, redis, upstream } = await createStoredApp(t)
  const [ada, second, bob] = [await logIn(app), await logIn(app), await logIn(app, 'bob')]
  const [oldest, newest] = (await app.sessions.list('ada')).map(({ id }) => keyOf(id))
  const own = (await redis.get(oldest ?? '')) ?? ''
  const faults = createFaults()
  for (const [name, text] of Object.entries({
    'of another session of the user': await redis.get(newest ?? ''),
    'of another user': await redis.get(keyOf(await onlySessionOf(app, 'bob'))),
    'that was changed': `${own.slice(0, -9)}${own.at(-9) === 'A' ? 'B' : 'A'}${own.slice(-8)}`,
    'that was cut': own.slice(0, -5),
    'of a newer version': own.replace('1.', '2.'),
    garbage: 'garbage',
    'that is only a lock': 'lock|'
  })) {
    await redis.set(oldest ?? '', text ?? '', 'KEEPTTL')
    faults.compare(name, await numberOf(app, ada), '401 LOGIN_NEEDED')
    faults.compare(`${name}, rejected`, await numberOf(app, ada, 1), '401 LOGIN_NEEDED')
  }
  faults.assertNone(t)
  await redis.set(oldest ?? '', own, 'KEEPTTL')
  t.strictSame([await numberOf(app, ada), await numberOf(app, second), await numberOf(app, bob)], [1, 2, 1])
  t.strictSame(upstream.refreshes, [])
  t.equal((await app.inject(withToken(ada))).statusCode, 200)
})

async function withSecrets(t: Test, upstream: TokenUpstream, redis: Redis, secrets: readonly string[]) {
  const { logger, lines } = createLog()
  return { app: await createCustodyApp(t, upstream, { redis, tokens: { secrets } }, { logger }), lines }
}

t.test('a secret is replaced without a loss, and a lost secret costs the tokens alone', async (t) => {
  const { redis, upstream } = await createStoredApp(t)
  const next = `${TOKENS_SECRET}, the next one`
  const { app: old } = await withSecrets(t, upstream, redis, [TOKENS_SECRET])
  const { app: both } = await withSecrets(t, upstream, redis, [next, TOKENS_SECRET])
  const { app: fresh, lines } = await withSecrets(t, upstream, redis, [next])
  const token = await logIn(old)
  t.equal(await numberOf(both, token), 1)
  t.equal(await numberOf(fresh, token), '401 LOGIN_NEEDED')
  t.match(lines.filter((line) => JSON.parse(line).level >= 50).join(''), '`upstream.tokens.secrets` lacks the secret')
  t.equal((await fresh.inject(withToken(token))).statusCode, 200)
  t.equal(await numberOf(both, token, 1), 2, 'a refresh encrypts with the first secret')
  t.equal(await numberOf(fresh, token), 2)
  t.equal(await numberOf(old, token), '401 LOGIN_NEEDED')
  t.strictSame(upstream.refreshes, ['ada:1'])
})

t.test('a refresh empties no cache', async (t) => {
  const redis = await connectRedis(t)
  const store = createRedisStore(redis)
  const changes: (string | null)[] = []
  const tracking = store.track?.({ maxStaleMs: 10_000, onChange: (tag) => changes.push(tag), onRefused() {} })
  t.teardown(() => tracking?.close())
  await tracking?.attempted
  const user = createUser(store)
  const { id, record } = await user.open({ tokens: 'first' })
  await until(() => changes.includes(user.tag))
  changes.length = 0
  for (const [next, previous] of [
    ['second', 'first'],
    ['third', 'second']
  ] as const) {
    t.equal(await store.writeTokens?.(id, next, previous), true)
  }
  const other = createUser(store)
  await other.open()
  await until(() => changes.includes(other.tag))
  t.notOk(changes.includes(user.tag))
  await store.replace(id, record, `${record} next`)
  await until(() => changes.includes(user.tag))
})
