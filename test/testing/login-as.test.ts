import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import {
  createMemoryStore,
  createRedisStore,
  fastifyJwtSession,
  type JwtSessionOptions,
  verifySession
} from '../../lib/index.js'
import { loginAs, type TestApp, type TestLogin } from '../../lib/testing/index.js'
import { SECRET } from '../fixtures/app.js'
import { readEvents } from '../fixtures/read-events.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const MINUTE_MS = 60_000
const REASONS = ['logged_out', 'revoked', 'replaced', 'logged_in_again', 'expired', 'unknown', 'invalid_token'] as const

/** An app that has registered the plugin, and has loaded nothing yet. `/me` is guarded. */
function createApp(t: Test, options: Partial<JwtSessionOptions> = {}) {
  const app = createWatchedFastify(t)
  app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, ...options })
  app.register(async (scope) => {
    scope.get('/fresh', { preHandler: verifySession, config: { session: { freshSeconds: 300 } } }, async () => 'ok')
    scope.route({
      method: ['GET', 'POST'],
      url: '/me',
      preHandler: verifySession,
      handler: async (request) => ({ session: request.session, cookies: request.headers.cookie ?? null })
    })
  })
  return app
}

async function reasonOf(login: TestLogin): Promise<unknown> {
  const { statusCode, body } = await login.inject('/me')
  return statusCode === 401 ? JSON.parse(body).reason : statusCode
}

t.test('a session can be opened while the app loads, when the app is ready, and when the app listens', async (t) => {
  const app = createApp(t)
  const early = await loginAs(app, { id: 'ada' })
  app.get('/later', { preHandler: verifySession }, async ({ session }) => session.user.id)
  t.equal((await early.inject('/later')).body, 'ada', 'a route may be added after a login')
  await app.ready()
  t.equal((await (await loginAs(app, { id: 'bob' })).inject('/later')).body, 'bob')
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { headers } = await loginAs(app, { id: 'eve' })
  t.equal(await (await fetch(`${url}/later`, { headers })).text(), 'eve', 'the headers are those of any client')
})

t.test('the session is the session of a real login', async (t) => {
  const app = createApp(t, { session: { maxPerUser: 2 }, userSchema: Type.Object({ id: Type.String() }) })
  const before = Date.now()
  const details = { data: { cart: ['a'] }, ip: '192.0.2.1', userAgent: 'a test', ttlSeconds: 60 }
  const { token, session, inject } = await loginAs(app, { id: 'ada' }, details)
  t.match(session, { user: { id: 'ada' }, data: { cart: ['a'] }, ip: '192.0.2.1', userAgent: 'a test' })
  t.equal(session.expiresAt - session.createdAt, 60_000)
  t.ok(session.createdAt >= before && session.lastSeenAt === session.createdAt)
  t.strictSame((await inject('/me')).json().session, session)
  t.strictSame(await app.sessions.verify(token), session)

  const second = await loginAs(app, { id: 'ada' })
  await loginAs(app, { id: 'ada' })
  t.equal(await reasonOf(second), 200)
  t.equal((await inject('/me')).json().reason, 'replaced', 'the limit of sessions holds')
})

t.test('a login in the past is neither fresh nor live for longer than its lifetimes', async (t) => {
  const app = createApp(t, { session: { ttlSeconds: 3_600, idleTimeoutSeconds: 600 } })
  const now = Date.now()
  const ago = (minutes: number) => now - minutes * MINUTE_MS
  const fresh = async (login: TestLogin) => (await login.inject('/fresh')).json().code
  const tenMinutes = await loginAs(app, { id: 'ada' }, { createdAt: ago(9) })
  t.equal(await fresh(tenMinutes), 'FST_JWT_SESSION_NOT_FRESH')
  t.equal(await reasonOf(await loginAs(app, { id: 'ada' }, { createdAt: ago(10) })), 'expired', 'idle')
  const active = await loginAs(app, { id: 'ada' }, { createdAt: ago(59), lastSeenAt: ago(1) })
  t.equal(await reasonOf(active), 200, 'activity keeps a session live')
  t.equal(active.session.lastSeenAt - active.session.createdAt, 58 * MINUTE_MS)
  const over = await loginAs(app, { id: 'ada' }, { createdAt: ago(60), lastSeenAt: ago(1) })
  t.equal(await reasonOf(over), 'expired', 'absolute')
  t.equal(await app.sessions.find(over.session.id), null)
  const short = await loginAs(app, { id: 'ada' }, { createdAt: ago(2), ttlSeconds: 60 })
  t.equal(await reasonOf(short), 'expired', 'by a lifetime of its own')
  const longOver = await loginAs(app, { id: 'ada' }, { createdAt: ago(61) })
  await longOver.end('expired')
  t.equal(await reasonOf(longOver), 'expired')
  await t.rejects(longOver.end('revoked'), { name: 'AssertionError', actual: 'expired', expected: 'revoked' })
  await longOver.end('unknown')
  t.equal(await reasonOf(longOver), 'unknown')
})

for (const [name, getOptions] of Object.entries<(t: Test) => Promise<Partial<JwtSessionOptions>>>({
  'in memory': async () => ({}),
  'with a cookie': async () => ({ cookie: { name: '__Host-id' } }),
  'without an idle timeout': async () => ({ session: { idleTimeoutSeconds: false } }),
  'in Redis': async (t) => ({ store: createRedisStore(await connectRedis(t)) }),
  'in Redis, with the cache': async (t) => ({ redis: await connectRedis(t), cache: true })
})) {
  t.test(`a session ${name} ends for each reason, for every later request`, async (t) => {
    const app = createApp(t, await getOptions(t))
    for (const reason of REASONS) {
      const login = await loginAs(app, { id: 'ada' }, { data: { cart: ['a'] } })
      const { headers, end } = login
      t.equal(await reasonOf(login), 200)
      const { token } = login
      await end(reason)
      t.equal(await reasonOf(login), reason)
      t.equal((await app.inject({ url: '/me', headers })).json().reason, reason, 'by the headers from before the end')
      const isStored = reason !== 'unknown' && reason !== 'invalid_token'
      t.equal(login.token === token, isStored, `the token stays the same: ${reason}`)
      const isLive = reason === 'invalid_token'
      t.equal((await app.sessions.find(login.session.id)) !== null, isLive, `${reason} in the store`)
      if (isLive) await app.sessions.revoke(login.session.id)
      t.strictSame(await app.sessions.list('ada'), [])
    }
  })
}

t.test('an end that would not be answered with its reason fails', async (t) => {
  const app = createApp(t)
  for (const first of ['revoked', 'expired'] as const) {
    const login = await loginAs(app, { id: 'ada' })
    await login.end(first)
    await login.end(first)
    const other = first === 'revoked' ? 'logged_out' : 'expired'
    if (first === 'revoked') {
      const message = `end('${other}'): the session has ended before: revoked`
      await t.rejects(login.end(other), { name: 'AssertionError', message })
      await t.rejects(login.end('expired'), { name: 'AssertionError', actual: 'revoked' })
    }
    t.equal(await reasonOf(login), first)
    await login.end('unknown')
    t.equal(await reasonOf(login), 'unknown')
    await login.end('invalid_token')
    t.equal(await reasonOf(login), 'invalid_token')
  }
  const login = await loginAs(app, { id: 'ada' })
  const typo: unknown = 'revokd'
  await t.rejects(login.end(typo as 'revoked'), { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'reason' })
  t.equal(await reasonOf(login), 200)
})

t.test('an end that the store does not carry out fails', async (t) => {
  const store = createMemoryStore()
  const app = createApp(t, { store: { ...store, end: async () => null } })
  const login = await loginAs(app, { id: 'ada' })
  const message = "end('revoked'): the store has not ended the session"
  await t.rejects(login.end('revoked'), { name: 'AssertionError', message })
})

t.test('an end that a change of the session overtakes is tried again', async (t) => {
  const app = createApp(t)
  const login = await loginAs(app, { id: 'ada' })
  const updates = Array.from({ length: 20 }, (_, index) => app.sessions.update(login.session.id, { [index]: true }))
  await login.end('expired')
  await Promise.all(updates)
  t.equal(await reasonOf(login), 'expired')
})

t.test('an end reaches the streams of the session', async (t) => {
  const app = createApp(t, { routes: { events: {} } })
  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  for (const reason of ['revoked', 'expired', 'logged_out'] as const) {
    const { headers, end } = await loginAs(app, { id: 'ada' })
    const stream = await readEvents(t, url, headers)
    await end(reason)
    await stream.over
    t.strictSame(stream.events().at(-1), { event: 'ended', data: { reason } })
  }
})

t.test('with a cookie the headers are those of a page of the app', async (t) => {
  const app = createApp(t, { cookie: { name: '__Host-id' } })
  const { token, headers, inject } = await loginAs(app, { id: 'ada' })
  t.strictSame({ ...headers }, { cookie: `__Host-id=${token}`, 'sec-fetch-site': 'same-origin' })
  t.equal((await inject({ method: 'POST', url: '/me' })).statusCode, 200, 'a write passes the CSRF check')
  const crossSite = { 'Sec-Fetch-Site': 'cross-site' }
  t.equal((await inject({ method: 'POST', url: '/me', headers: crossSite })).statusCode, 403, 'a test may break it')
  const cookies = async (headers: Record<string, string | string[]>, more = {}) =>
    (await inject({ url: '/me', headers, ...more })).json().cookies
  const own = `__Host-id=${token}`
  t.equal(await cookies({ Cookie: 'theme=dark' }), `${own}; theme=dark`, 'other cookies are added')
  t.equal(await cookies({ cookie: ['a=1', 'b=2'] }), `${own}; a=1; b=2`)
  t.equal(await cookies({}, { cookies: { theme: 'dark' } }), `${own}; theme=dark`)
  const { token: other } = await loginAs(app, { id: 'bob' })
  t.equal(await cookies({ cookie: `__Host-id=${other}` }), `__Host-id=${other}`, 'a cookie of another session is used')
  t.equal((await inject({ method: 'POST', url: '/user/logout' })).statusCode, 204)
  t.equal((await inject('/me')).json().reason, 'logged_out')

  const url = await app.listen({ host: '127.0.0.1', port: 0 })
  const { headers: next } = await loginAs(app, { id: 'ada' })
  t.equal((await fetch(`${url}/me`, { method: 'POST', headers: next })).status, 200, 'over the network too')
})

t.test('a header of the request takes precedence over the token', async (t) => {
  const app = createApp(t)
  const ada = await loginAs(app, { id: 'ada' })
  const bob = await loginAs(app, { id: 'bob' })
  const { authorization = '' } = bob.headers
  const answer = await ada.inject({ url: '/me', headers: { Authorization: authorization, cookie: 'a=1' } })
  t.equal(answer.json().session.user.id, 'bob')
  t.equal(answer.json().cookies, 'a=1')
  t.equal((await ada.inject({ url: '/me' })).json().session.user.id, 'ada')
})

t.test('an app without the plugin, a user that does not fit and a wrong option are named', async (t) => {
  const notRegistered = { name: 'AssertionError', message: /not registered/ }
  const bare = createWatchedFastify(t)
  await t.rejects(loginAs(bare, { id: 'ada' }), notRegistered)
  await bare.ready()
  await t.rejects(loginAs(bare, { id: 'ada' }), notRegistered)

  for (const app of [undefined, null, bare.server]) {
    await t.rejects(loginAs(app as never, { id: 'ada' }), { name: 'AssertionError', message: /must be the app/ })
  }

  const outer = createWatchedFastify(t)
  let scope: TestApp | undefined
  outer.register(async (inner) => {
    scope = inner
    await inner.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
    inner.get('/me', { preHandler: verifySession }, async ({ session }) => session.user.id)
  })
  await t.rejects(loginAs(outer, { id: 'ada' }), notRegistered, 'the scope has the plugin')
  t.equal((await (await loginAs(scope ?? outer, { id: 'ada' })).inject('/me')).body, 'ada')

  const broken = Fastify()
  broken.register(fastifyJwtSession, { jwt: { secret: 'short' }, upstream })
  await t.rejects(
    loginAs(broken, { id: 'ada' }),
    { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'jwt.secret' },
    'the error of a plugin that fails'
  )

  const app = createApp(t, { userSchema: Type.Object({ id: Type.String(), role: Type.String() }) })
  await t.rejects(loginAs(app, { id: 'ada' }), { name: 'AssertionError', message: /at \/role \(required\)/ })
  const user = { id: 'ada', role: 'admin' }
  const wrong: [string, object][] = [
    ['createdAt', { createdAt: Date.now() + MINUTE_MS }],
    ['createdAt', { createdAt: 1.5 }],
    ['createdAt', { createdAt: -1 }],
    ['createdAt', { createdAt: new Date() }],
    ['lastSeenAt', { createdAt: Date.now() - MINUTE_MS, lastSeenAt: Date.now() - 2 * MINUTE_MS }],
    ['lastSeenAt', { lastSeenAt: Date.now() + MINUTE_MS }],
    ['options.created', { created: 1 }],
    ['ttlSeconds', { ttlSeconds: 0 }]
  ]
  for (const [option, options] of wrong) {
    await t.rejects(loginAs(app, user, options), { code: 'FST_JWT_SESSION_INVALID_OPTION', option }, option)
  }
  await t.rejects(loginAs(app, user, { data: [] as never }), { code: 'FST_JWT_SESSION_INVALID_DATA' })
})

t.test('two plugins in two scopes have sessions of their own', async (t) => {
  const app = createWatchedFastify(t)
  const scopes: TestApp[] = []
  for (const prefix of ['/a', '/b']) {
    app.register(
      async (scope) => {
        await scope.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
        scope.get('/me', { preHandler: verifySession }, async ({ session }) => session.user.id)
        scopes.push(scope)
      },
      { prefix }
    )
  }
  await app.ready()
  const [first = app, second = app] = scopes
  const ada = await loginAs(first, { id: 'ada' })
  t.equal((await ada.inject('/a/me')).statusCode, 200)
  t.equal((await ada.inject('/b/me')).json().reason, 'unknown')
  t.equal((await (await loginAs(second, { id: 'bob' })).inject('/b/me')).body, 'bob')
})

t.test('only a test logs in in the past: app.sessions.create() takes no time', async (t) => {
  const app = createApp(t)
  await app.ready()
  const before = Date.now()
  const times: object = { createdAt: before - MINUTE_MS, lastSeenAt: before - MINUTE_MS }
  const { session } = await app.sessions.create({ id: 'ada' }, times)
  t.ok(session.createdAt >= before && session.lastSeenAt >= before)
})
