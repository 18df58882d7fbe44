import { setImmediate as turn } from 'node:timers/promises'
import t from 'tap'
import { Type } from 'typebox'
import { createMemoryStore, fastifyJwtSession } from '../../lib/index.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createHost } from '../fixtures/host.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { STORES } from '../fixtures/stores.js'
import { assertEnded, createRecordingStore, freezeClock, NOW, upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const url = '/user/session'
const at = (second: number) => new Date((NOW + second) * 1_000).toISOString()

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`GET /user/session with the ${name} store`, async (t) => {
    t.test('the reply has the user and the expiry of the session, and no other field', async (t) => {
      const clock = freezeClock(t)
      const userSchema = Type.Object({ id: Type.String(), name: Type.String() })
      const app = await createApp(t, { store: await createStore(t), userSchema })
      clock.now = NOW + 0.123
      const token = await logIn(app, 'ada', { 'user-agent': 'a browser' })
      const answer = await app.inject(withToken(token, { url }))
      t.equal(answer.statusCode, 200)
      t.match(answer.headers, { 'cache-control': 'no-store', 'content-type': 'application/json; charset=utf-8' })
      t.equal(
        answer.body,
        `{"user":{"id":"ada","name":"Ada"},"created_at":"${at(0.123)}","expires_at":"${at(43_200.123)}",` +
          `"idle_expires_at":"${at(1_800.123)}"}`
      )
      t.match(answer.json().created_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
    })

    t.test('GET does not extend the session, and activity extends the session up to the absolute expiry', async (t) => {
      const clock = freezeClock(t)
      const session = { ttlSeconds: 3_600, idleTimeoutSeconds: 1_800 }
      const app = await createApp(t, { store: await createStore(t), session })
      const token = await logIn(app)
      const readExpiry = async () => {
        const answer = await app.inject(withToken(token, { url }))
        const { created_at, expires_at, idle_expires_at } = answer.json()
        t.strictSame([created_at, expires_at], [at(0), at(3_600)])
        return idle_expires_at
      }
      for (const second of [0, 100, 900, 1_799, 1_799.999]) {
        clock.now = NOW + second
        t.equal(await readExpiry(), at(1_800))
      }
      clock.now = NOW + 1_700
      t.equal((await app.inject(withToken(token))).statusCode, 200)
      await turn()
      t.equal(await readExpiry(), at(3_500))
      clock.now = NOW + 2_000
      t.equal((await app.inject(withToken(token))).statusCode, 200)
      t.equal(await readExpiry(), at(3_600), 'not later than the absolute expiry')
      clock.now = NOW + 3_599.999
      t.equal(await readExpiry(), at(3_600))
      clock.now = NOW + 3_600
      assertEnded(t, { answer: await app.inject(withToken(token, { url })), handlerRuns: 0, storeCalls: [] }, 'expired')
    })

    t.test('`idle_expires_at` is null without an idle timeout', async (t) => {
      freezeClock(t)
      const session = { ttlSeconds: 60, idleTimeoutSeconds: false } as const
      const app = await createApp(t, { store: await createStore(t), session })
      const answer = await app.inject(withToken(await logIn(app), { url }))
      t.strictSame(answer.json(), {
        user: { id: 'ada' },
        created_at: at(0),
        expires_at: at(60),
        idle_expires_at: null
      })
    })
  })
}

for (const [before, after] of [
  [600, 1_800],
  [1_800, 600],
  [600, false],
  [false, 600]
] as const) {
  t.test(`GET has the expiry by the current idle timeout after a change from ${before} to ${after}`, async (t) => {
    const clock = freezeClock(t)
    const store = createMemoryStore()
    const old = await createApp(t, { upstream, store, session: { ttlSeconds: 3_600, idleTimeoutSeconds: before } })
    const young = await createApp(t, { upstream, store, session: { ttlSeconds: 3_600, idleTimeoutSeconds: after } })
    const { token, session } = await old.sessions.create({ id: 'ada' })
    clock.now = NOW + 30
    const shown = (await young.inject(withToken(token, { url }))).json()
    const end = Date.parse(shown.idle_expires_at ?? shown.expires_at) / 1_000
    clock.now = end - 0.001
    t.ok(await young.sessions.find(session.id), `before ${end - NOW} s`)
    clock.now = end
    t.equal(await young.sessions.find(session.id), null)
  })
}

t.test('GET /user/session reads the store once and writes nothing', async (t) => {
  const clock = freezeClock(t)
  const store = createRecordingStore(t)
  const app = await createApp(t, { upstream, store })
  const token = await logIn(app)
  clock.now = NOW + 1_000
  store.calls.length = 0
  await app.inject(withToken(token, { url }))
  t.equal(store.calls.length, 1)
  t.match(store.calls[0], /^find /)
})

t.test('GET /user/session has the error replies of the guard, and is never cached', async (t) => {
  const app = await createApp(t)
  const [token, ending] = [await logIn(app), await logIn(app)]
  assertRefused(t, await app.inject(url), { statusCode: 401, code: 'FST_JWT_SESSION_MISSING' })
  t.equal((await app.inject(url)).headers['www-authenticate'], 'Bearer realm="session"')
  const visit = async (token: string) => ({
    answer: await app.inject(withToken(token, { url })),
    handlerRuns: 0,
    storeCalls: []
  })
  await app.inject(logout(ending))
  assertEnded(t, await visit(ending), 'logged_out')
  assertEnded(t, await visit('garbage'), 'invalid_token')
  await app.sessions.revokeAll('ada')
  assertEnded(t, await visit(token), 'revoked')
})

t.test('while the store is unavailable GET /user/session is 503, without the clear signal', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { redis: redis.client({ maxRetriesPerRequest: 0 }), storeTimeoutMs: 1_000 })
  const token = await logIn(app)
  redis.stall()
  assertRefused(t, await app.inject(withToken(token, { url })), {
    statusCode: 503,
    code: 'FST_JWT_SESSION_STORE_UNAVAILABLE'
  })
  redis.resume()
})

t.test('GET and HEAD are answered, HEAD without a body, and other methods but POST are 404', async (t) => {
  const app = await createApp(t)
  const token = await logIn(app)
  const head = await app.inject(withToken(token, { method: 'HEAD', url }))
  t.equal(head.statusCode, 200)
  t.equal(head.body, '')
  t.equal(head.headers['cache-control'], 'no-store')
  t.equal((await app.inject({ method: 'HEAD', url })).statusCode, 401)
  for (const method of ['PUT', 'PATCH', 'DELETE', 'OPTIONS'] as const) {
    t.equal((await app.inject(withToken(token, { method, url }))).statusCode, 404)
  }
  t.equal((await app.inject(withToken(token, { url }))).statusCode, 200, 'the session stays live')
})

t.test('`routes.session` sets the path, and false disables the route', async (t) => {
  const cases = [
    [{}, '/user/session'],
    [{ session: {} }, '/user/session'],
    [{ session: { path: '/me' } }, '/user/me'],
    [{ prefix: '/auth', session: { path: '/who/am-i' } }, '/auth/who/am-i'],
    [{ prefix: '', session: { path: '/whoami' } }, '/whoami']
  ] as const
  for (const [routes, path] of cases) {
    const app = await createApp(t, { upstream, routes })
    const { token } = await app.sessions.create({ id: 'ada' })
    t.equal((await app.inject(withToken(token, { url: path }))).json().user.id, 'ada', path)
    if (path !== url) t.equal((await app.inject(withToken(token, { url }))).statusCode, 404)
  }
  const app = await createApp(t, { upstream, routes: { session: false } })
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject(withToken(token, { url }))).statusCode, 404)
  t.equal((await app.inject(withToken(token))).statusCode, 200)
})

t.test('hooks and serializers of the host do not change the reply of GET /user/session', async (t) => {
  const { app } = await createHost(t, {
    before(app) {
      app.setSerializerCompiler(() => () => '"host"')
      app.setReplySerializer(() => '"host"')
      app.setErrorHandler((_error, _request, reply) => reply.code(418).send('host'))
    }
  })
  const token = await logIn(app)
  t.equal((await app.inject(withToken(token, { url }))).json().user.id, 'ada')
  assertRefused(t, await app.inject(url), { statusCode: 401, code: 'FST_JWT_SESSION_MISSING' })
})

t.test('the schemas of GET /user/session document every reply', async (t) => {
  const app = createWatchedFastify(t)
  const schemas: unknown[] = []
  app.addHook('onRoute', (route) => {
    if (route.url === url && route.method === 'GET') schemas.push(route.schema)
  })
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
  const [{ response }] = schemas as [{ response: Record<string, { properties: object }> }]
  t.strictSame(Object.keys(response), ['200', '401', '503'])
  t.strictSame(Object.keys(response[200]?.properties ?? {}), ['user', 'created_at', 'expires_at', 'idle_expires_at'])
})
