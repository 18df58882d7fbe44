import { inspect } from 'node:util'
import t, { type Test } from 'tap'
import {
  fastifyJwtSession,
  InvalidOptionError,
  type JwtSessionOptions,
  type SessionOptions,
  type SessionRouteSettings,
  verifySession
} from '../../lib/index.js'
import { createApp, logIn, SECRET, withToken } from '../fixtures/app.js'
import { createFaults } from '../fixtures/faults.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { createRecordingStore, freezeClock, upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const LONGEST = 2 ** 31 - 1

/** Seconds from a login to the idle expiry and to the absolute expiry, as in `GET /user/session`. */
async function lifetimes(t: Test, session: SessionOptions | undefined) {
  freezeClock(t)
  const app = await createApp(t, { upstream, session })
  const answer = await app.inject(withToken(await logIn(app), { url: '/user/session' }))
  const { created_at, idle_expires_at, expires_at } = answer.json()
  const after = (time: string | null) => time && (Date.parse(time) - Date.parse(created_at)) / 1_000
  return { idle: after(idle_expires_at), absolute: after(expires_at) }
}

t.test('the lifetimes have defaults and can be set', async (t) => {
  const cases: [options: SessionOptions | undefined, idle: number | null, absolute: number][] = [
    [undefined, 1_800, 43_200],
    [{}, 1_800, 43_200],
    [{ ttlSeconds: 1_801 }, 1_800, 1_801],
    [{ ttlSeconds: 1_800 }, 1_800, 1_800],
    [{ ttlSeconds: 1_799 }, 1_799, 1_799],
    [{ ttlSeconds: 1 }, 1, 1],
    [{ idleTimeoutSeconds: 43_200 }, 43_200, 43_200],
    [{ idleTimeoutSeconds: 1 }, 1, 43_200],
    [{ ttlSeconds: 60, idleTimeoutSeconds: 60 }, 60, 60],
    [{ ttlSeconds: 60, idleTimeoutSeconds: 59 }, 59, 60],
    [{ idleTimeoutSeconds: false }, null, 43_200],
    [{ ttlSeconds: 5, idleTimeoutSeconds: false }, null, 5],
    [{ ttlSeconds: LONGEST }, 1_800, LONGEST],
    [{ ttlSeconds: LONGEST, idleTimeoutSeconds: LONGEST }, LONGEST, LONGEST]
  ]
  for (const [options, idle, absolute] of cases) {
    await t.test(JSON.stringify(options) ?? 'none', async (t) =>
      t.strictSame(await lifetimes(t, options), { idle, absolute })
    )
  }
})

t.test('the longest lifetimes and the largest limit work in Redis', async (t) => {
  const redis = await connectRedis(t)
  for (const idleTimeoutSeconds of [LONGEST, false] as const) {
    const session = { ttlSeconds: LONGEST, idleTimeoutSeconds, maxPerUser: 1_000 }
    const app = await createApp(t, { redis, session })
    const token = await logIn(app)
    await logIn(app)
    t.equal((await app.inject(withToken(token))).statusCode, 200)
    t.ok(await app.sessions.update((await app.inject(withToken(token))).json().id, { a: 1 }))
    await app.sessions.revokeAll('ada')
    t.equal((await app.inject(withToken(token))).json().reason, 'revoked')
  }
})

/** The routes that the plugin registers. */
async function routesOf(t: Test, routes: JwtSessionOptions['routes']): Promise<Set<string>> {
  const app = createWatchedFastify(t)
  const found = new Set<string>()
  app.addHook('onRoute', ({ method, url }) => {
    for (const name of [method].flat()) if (name !== 'HEAD') found.add(`${name} ${url}`)
  })
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, routes })
  await app.ready()
  return found
}

const ALWAYS = ['POST /user/login', 'POST /user/logout']

t.test('the current session has a route by default, the list of sessions only on demand', async (t) => {
  const list = (path: string) => [`GET ${path}`, `DELETE ${path}`, `DELETE ${path}/:id`]
  const one = (path: string) => [`GET ${path}`, `POST ${path}`]
  const cases: [routes: JwtSessionOptions['routes'], expected: string[]][] = [
    [undefined, one('/user/session')],
    [{}, one('/user/session')],
    [{ session: {}, sessions: false }, one('/user/session')],
    [{ session: false }, []],
    [{ session: { path: '/me' } }, one('/user/me')],
    [{ sessions: {} }, [...one('/user/session'), ...list('/user/sessions')]],
    [{ sessions: { path: '/a/b' } }, [...one('/user/session'), ...list('/user/a/b')]],
    [
      { session: { path: '/sessions' }, sessions: { path: '/session' } },
      [...one('/user/sessions'), ...list('/user/session')]
    ],
    [{ session: { path: '/all/x' }, sessions: { path: '/all' } }, [...one('/user/all/x'), ...list('/user/all')]]
  ]
  for (const [routes, expected] of cases) {
    await t.test(JSON.stringify(routes) ?? 'none', async (t) =>
      t.strictSame([...(await routesOf(t, routes))].sort(), [...ALWAYS, ...expected].sort())
    )
  }
})

t.test('a path that ends in a slash is joined to the other routes with one slash', async (t) => {
  const routes = await routesOf(t, { sessions: { path: '/all/' } })
  t.ok(routes.has('GET /user/all/'))
  t.ok(routes.has('DELETE /user/all/:id'))
})

class Settings {
  optional = true
}

const NO_BOOLEAN = [null, 0, 1, '', 'true', 'false', [], {}, () => true]

/** Invalid settings, by the option that the error must name. */
const WRONG: Record<string, readonly unknown[]> = {
  'config.session': [
    null,
    true,
    false,
    0,
    'optional',
    '',
    [],
    [{ optional: true }],
    new Map(),
    new Settings(),
    () => {}
  ],
  'config.session.fresh': [{ fresh: 300 }, { optional: true, fresh: undefined }],
  'config.session.Optional': [{ Optional: true }],
  'config.session.sliding': [{ sliding: false }],
  'config.session.__proto__': [JSON.parse('{"__proto__":{"optional":true}}')],
  'config.session.freshSeconds': [
    ...[0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '300', '', null, true, false, [300], {}, 300n]
  ].map((freshSeconds) => ({ freshSeconds })),
  'config.session.optional': NO_BOOLEAN.map((optional) => ({ optional })),
  'config.session.slide': NO_BOOLEAN.map((slide) => ({ slide }))
}

const CASES = Object.entries(WRONG).flatMap(([option, values]) => values.map((value) => [option, value] as const))

/** An app with a route for each of these settings, registered before and after the plugin. */
async function createAppWith(t: Test, before: unknown[], after: unknown[] = []) {
  const ran: string[] = []
  const store = createRecordingStore(t)
  const app = createWatchedFastify(t)
  const addRoutes = (when: string, all: unknown[]) => {
    for (const [index, session] of all.entries()) {
      const config = { session } as { session: SessionRouteSettings }
      app.get(`/${when}/${index}`, { preHandler: verifySession, config }, async ({ url }) => {
        ran.push(url)
        return url
      })
    }
  }
  addRoutes('before', before)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, store })
  addRoutes('after', after)
  await app.ready()
  const { token } = await app.sessions.create({ id: 'ada' })
  store.calls.length = 0
  return { app, ran, token, store }
}

t.test('invalid settings fail the registration of the route, and the error names the option', async (t) => {
  for (const [option, session] of CASES) {
    const error = await createAppWith(t, [], [session]).catch((error: unknown) => error)
    t.ok(error instanceof InvalidOptionError, inspect(session))
    t.match(error, { code: 'FST_JWT_SESSION_INVALID_OPTION', statusCode: 500, option })
    t.match((error as Error).message, `The \`${option}\` option `)
  }
})

t.test('invalid settings fail below a prefix, on a route for any method, and without the guard', async (t) => {
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
  app.register(
    async (scope) => {
      scope.all('/any', { config: { session: { freshSeconds: 0 } } }, async () => 'any')
    },
    { prefix: '/v1' }
  )
  const error = await t.rejects(async () => await app.ready(), { code: 'FST_JWT_SESSION_INVALID_OPTION' })
  t.match(error, { option: 'config.session.freshSeconds' })
})

t.test('invalid settings of a route before the plugin fail the requests of the route', async (t) => {
  const { app, ran, token, store } = await createAppWith(
    t,
    CASES.map(([, session]) => session)
  )
  const faults = createFaults()
  for (const [index, [option]] of CASES.entries()) {
    const url = `/before/${index}`
    for (const request of [{ url }, withToken(token, { url }), withToken('garbage', { url }), { url }]) {
      const { statusCode, headers, json } = await app.inject(request)
      const { code, message } = json()
      const isNamed = message.startsWith(`The \`${option}\` option `)
      const signal = headers['clear-site-data'] ?? headers['session-ended']
      const expected = [500, 'FST_JWT_SESSION_INVALID_OPTION', true, undefined]
      faults.compare(`${option}: ${message}`, [statusCode, code, isNamed, signal], expected)
    }
  }
  faults.assertNone(t)
  t.strictSame(ran, [])
  t.strictSame(store.calls, [], 'no store call was made')
})

t.test('valid settings are accepted, frozen, shared or empty, before and after the plugin', async (t) => {
  const shared: SessionRouteSettings = Object.freeze({ optional: false, freshSeconds: 1, slide: true })
  const nothing = { optional: undefined, freshSeconds: undefined, slide: undefined }
  const good = [undefined, {}, Object.create(null), nothing, shared, shared, { freshSeconds: 2 ** 31 - 1 }]
  const { app, ran, token } = await createAppWith(t, good, good)
  for (const when of ['before', 'after']) {
    for (const index of good.keys()) {
      const url = `/${when}/${index}`
      t.equal((await app.inject(url)).json().code, 'FST_JWT_SESSION_MISSING')
      for (let times = 0; times < 2; times++) t.equal((await app.inject(withToken(token, { url }))).statusCode, 200)
      t.strictSame(ran.splice(0), [url, url])
    }
  }
})

t.test('routes outside the scope of the plugin may use config.session for other values', async (t) => {
  const app = createWatchedFastify(t)
  app.register(async (scope) => void (await scope.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })))
  const config = { session: 'mine' } as never
  app.register(async (sibling) => void sibling.get('/theirs', { config }, async () => 'theirs'))
  t.equal((await app.inject('/theirs')).body, 'theirs')
})
