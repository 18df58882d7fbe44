import t, { type Test } from 'tap'
import { createMemoryStore, type JwtSessionOptions } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { freezeClock, NOW, upstream } from '../fixtures/tokens.js'

const URL = '/user/session'
const session = { idleTimeoutSeconds: 100, ttlSeconds: 1_000 }

/** An app whose clock stands still, and a session. */
async function openSession(t: Test, options: Partial<JwtSessionOptions> = {}) {
  const clock = freezeClock(t)
  const app = await createApp(t, { upstream, session, ...options })
  const { token, session: created } = await app.sessions.create({ id: 'ada' })
  return {
    app,
    clock,
    id: created.id,
    extend: (request = {}) => app.inject(withToken(token, { method: 'POST', url: URL, ...request })),
    read: () => app.inject(withToken(token, { url: URL }))
  }
}

t.test('POST extends the session also within a tenth of the idle timeout, and has the reply of GET', async (t) => {
  const { clock, extend, read } = await openSession(t)
  clock.now += 1
  const extended = await extend()
  t.equal(extended.statusCode, 200)
  t.strictSame(extended.json(), (await read()).json())
  t.equal(extended.json().idle_expires_at, new Date((NOW + 101) * 1_000).toISOString())
  t.equal(extended.headers['cache-control'], 'no-store')
})

t.test('an extension is answered after the write, and answered 503 when the write fails', async (t) => {
  const redis = await startRedis(t)
  const { app, id, extend, clock } = await openSession(t, { redis: redis.client() })
  await redis.client().config('SET', 'maxmemory', '1')
  clock.now += 1
  const refused = await extend()
  t.equal(refused.statusCode, 503)
  t.equal(refused.headers['clear-site-data'], undefined)
  t.equal((await app.sessions.find(id))?.lastSeenAt, NOW * 1_000)
  await redis.client().config('SET', 'maxmemory', '0')
  t.equal((await extend()).statusCode, 200)
  t.equal((await app.sessions.find(id))?.lastSeenAt, (NOW + 1) * 1_000)
})

t.test('freshSeconds does not apply to an extension, although it applies to GET', async (t) => {
  const routes = { session: { path: '/me', config: { session: { freshSeconds: 10 } } } }
  const { clock, extend, app } = await openSession(t, { routes })
  clock.now += 50
  t.equal((await extend({ url: '/user/me' })).statusCode, 200)
  const { token } = await app.sessions.create({ id: 'bob' })
  clock.now += 50
  const stale = await app.inject(withToken(token, { url: '/user/me' }))
  t.equal(stale.json().code, 'FST_JWT_SESSION_NOT_FRESH')
})

t.test('a session that has ended is not extended', async (t) => {
  const { app, id, extend, clock } = await openSession(t)
  await app.sessions.revoke(id)
  const refused = await extend()
  t.equal(refused.json().reason, 'revoked')
  t.equal(refused.headers['session-ended'], 'revoked')
  clock.now += 5
  t.equal((await extend({ headers: {} })).statusCode, 401)
})

t.test('a session that ends during the extension is answered 401 with the reason', async (t) => {
  const store = createMemoryStore()
  const { id, extend } = await openSession(t, { store })
  const replace = store.replace
  store.replace = async (...args) => {
    await store.end(id, 'revoked')
    return replace(...args)
  }
  const refused = await extend()
  t.equal(refused.statusCode, 401)
  t.equal(refused.headers['session-ended'], 'revoked')
})

t.test('the body of an extension is ignored', async (t) => {
  const { extend } = await openSession(t)
  for (const [type, payload] of [
    ['application/json', '{'],
    ['text/plain', 'x'],
    ['x', 'y'.repeat(2_000_000)]
  ]) {
    t.equal((await extend({ headers: { 'content-type': type }, payload })).statusCode, 200)
  }
})

t.test('without an idle timeout an extension does not change the session', async (t) => {
  const { app, id, clock, extend } = await openSession(t, { session: { idleTimeoutSeconds: false } })
  clock.now += 5
  const extended = await extend()
  t.equal(extended.statusCode, 200)
  t.equal((await app.sessions.find(id))?.lastSeenAt, NOW * 1_000, 'without an idle timeout no activity is stored')
  t.equal(extended.json().idle_expires_at, null)
})

t.test('there is no extend route when `routes.session` is false', async (t) => {
  const { extend } = await openSession(t, { routes: { session: false } })
  t.equal((await extend()).statusCode, 404)
})

t.test('a hundred extensions at once all succeed', async (t) => {
  // A busy machine may need a second for a hundred writes.
  const { extend, clock } = await openSession(t, { storeTimeoutMs: 30_000 })
  clock.now += 1
  const answers = await Promise.all(Array.from({ length: 100 }, () => extend()))
  t.ok(answers.every(({ statusCode }) => statusCode === 200))
})

t.test('a page of another origin cannot extend the session by the cookie', async (t) => {
  const clock = freezeClock(t)
  const app = await createApp(t, { upstream, session, cookie: {} })
  const { token, session: created } = await app.sessions.create({ id: 'ada' })
  const cookie = `__Host-Http-session=${token}`
  clock.now += 1
  const send = (site: string) => app.inject({ method: 'POST', url: URL, headers: { cookie, 'sec-fetch-site': site } })
  for (const site of ['cross-site', 'same-site']) {
    const refused = await send(site)
    t.equal(refused.statusCode, 403)
    t.equal(refused.json().code, 'FST_JWT_SESSION_CROSS_SITE')
  }
  t.equal((await app.sessions.find(created.id))?.lastSeenAt, created.lastSeenAt)
  t.equal((await send('same-origin')).statusCode, 200)
})
