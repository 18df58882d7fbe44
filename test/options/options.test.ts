import { inspect } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { createMemoryStore, fastifyJwtSession, InvalidOptionError, JwtSessionError } from '../../lib/index.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { createFaults } from '../fixtures/faults.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'
import { CONTRADICTIONS, GOOD, MARK, UNKNOWN, WRONG } from '../fixtures/wrong-options.js'

/** The error of `register()`, or undefined. */
async function rejection(options: object): Promise<unknown> {
  const app = Fastify()
  try {
    await app.register(fastifyJwtSession, options as never)
  } catch (error) {
    return error
  } finally {
    await app.close()
  }
  return undefined
}

const shared = Fastify()

/** The error with which the plugin function rejects and register() fails, without an application for each call. */
async function rejectionOfPlugin(options: object): Promise<unknown> {
  return fastifyJwtSession(shared, options as never).catch((error) => error)
}

/** The faults in the error for invalid options. */
async function faultsOf(option: string, options: object, reject = rejection): Promise<string[]> {
  const error = await reject(options)
  if (!(error instanceof InvalidOptionError)) return [`rejected with ${inspect(error)}`]
  const { name, code, statusCode, message } = error
  const expected = `InvalidOptionError FST_JWT_SESSION_INVALID_OPTION 500 ${option}`
  const texts = [message, inspect(error, { depth: 9 }), JSON.stringify(error), String(error.stack)]
  return [
    ...(error instanceof JwtSessionError ? [] : ['is no JwtSessionError']),
    ...([name, code, statusCode, error.option].join(' ') === expected ? [] : [inspect(error)]),
    ...(message.startsWith(`The \`${option}\` option `) ? [] : [`does not name it: ${message}`]),
    ...(/option (must|is (not known|required|undefined: leave it out)|contradicts|needs)/.test(message)
      ? []
      : [`does not have the rule: ${message}`]),
    ...(texts.some((text) => text.includes(MARK.slice(0, 7))) ? ['repeats the value'] : [])
  ]
}

async function assertInvalid(t: Test, option: string, options: object): Promise<void> {
  t.strictSame(await faultsOf(option, options), [])
}

t.test('an invalid option fails register(), and the error has the name of the option', async (t) => {
  t.equal(await rejection(GOOD), undefined, 'the base options are valid')
  const faults = createFaults()
  for (const [option, values, put] of WRONG) {
    const isSettingOfRoute = option.startsWith('config.')
    for (const [index, value] of values.entries()) {
      const name = `${option}: ${inspect(value, { breakLength: Number.POSITIVE_INFINITY }).slice(0, 60)}`
      const reject = index === 0 || isSettingOfRoute ? rejection : rejectionOfPlugin
      faults.note(name, await faultsOf(option, { ...GOOD, ...put(value as never) }, reject))
    }
  }
  faults.assertNone(t)
})

t.test('an unknown option fails register() at every level', async (t) => {
  const faults = createFaults()
  for (const [option, options] of Object.entries(UNKNOWN)) {
    faults.note(option, await faultsOf(option, { ...GOOD, ...options }))
  }
  faults.assertNone(t)
})

t.test('options that contradict each other fail register()', async (t) => {
  const faults = createFaults()
  for (const [option, how, options] of CONTRADICTIONS) {
    faults.note(`${option}: ${how}`, await faultsOf(option, { ...GOOD, ...options }))
  }
  faults.assertNone(t)
})

t.test('an undefined option is the same as a missing option', async (t) => {
  const noRoute = { login: undefined, register: undefined, logout: undefined, session: undefined, sessions: undefined }
  const nothing = { ...noRoute, prefix: undefined }
  const options = {
    ...{ userSchema: undefined, storeTimeoutMs: undefined, clearSiteData: undefined },
    session: { ttlSeconds: undefined, idleTimeoutSeconds: undefined, maxPerUser: undefined, onMaxPerUser: undefined },
    jwt: { secret: SECRET, issuer: undefined, audience: undefined, claims: undefined }
  }
  for (const given of [
    options,
    { ...options, session: undefined, routes: undefined },
    { ...options, routes: nothing }
  ]) {
    t.equal(await rejection({ ...GOOD, ...given }), undefined)
  }
})

t.test('the required options are enough for login, guard and logout', async (t) => {
  const upstream = await startUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const answer = await app.inject(postJson('/user/login', CREDENTIALS))
  const { access_token: token, ...rest } = answer.json()
  t.strictSame(rest, { token_type: 'Bearer', expires_in: 43_200, user: { id: 'ada' } })
  const { iat, exp, ...claims } = JSON.parse(Buffer.from(token.split('.')[1], 'base64url').toString())
  t.strictSame(Object.keys(claims).sort(), ['jti', 'sub'])
  t.equal(exp - iat, 43_200)
  t.equal((await app.inject(postJson('/user/register', CREDENTIALS))).statusCode, 201)
  t.match((await app.inject(logout(token))).headers, { 'clear-site-data': '"storage"' })
  t.strictSame(
    upstream.requests.map(({ path }) => path),
    ['/user/login', '/user/register'],
    'the upstream is not notified of a logout'
  )
})

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null && !ArrayBuffer.isView(value)) {
    Object.freeze(value)
    for (const key of Reflect.ownKeys(value)) deepFreeze(value[key as keyof T])
  }
  return value
}

/** Options with every mutable value. */
function fullOptions(baseUrl: string) {
  const body = Type.Object({ username: Type.String(), password: Type.String() }, { additionalProperties: false })
  return {
    jwt: {
      secret: [Buffer.from(SECRET), 'an older secret of 32 bytes or more'],
      issuer: 'issuer',
      audience: 'audience',
      claims: () => ({ role: 'admin' })
    },
    upstream: { baseUrl, forwardHeaders: ['accept-language'], selectUser: (body: { user: unknown }) => body.user },
    userSchema: Type.Object({ id: Type.String(), name: Type.String() }),
    session: { ttlSeconds: 60, idleTimeoutSeconds: 30, maxPerUser: 2, onMaxPerUser: 'reject' as const },
    routes: {
      prefix: '/auth',
      login: { path: '/in', schema: body },
      register: { path: '/up', schema: body },
      logout: { path: '/out' },
      session: { path: '/me' },
      sessions: { path: '/all' }
    },
    storeTimeoutMs: 100,
    clearSiteData: ['storage', 'cookies'] as const
  }
}

/** Asserts the routes, the lifetimes and the limit of {@link fullOptions}. */
async function assertWorks(t: Test, app: FastifyInstance): Promise<void> {
  const answer = await app.inject(postJson('/auth/in', CREDENTIALS))
  t.match(answer.json(), { expires_in: 60, user: { id: 'ada', name: 'Ada' } })
  const token = answer.json().access_token
  t.equal((await app.inject(withToken(token))).json().user.name, 'Ada')
  t.equal((await app.inject(postJson('/auth/up', CREDENTIALS))).statusCode, 201)
  await app.sessions.create({ id: 'ada', name: 'Ada' } as never)
  t.equal((await app.inject(postJson('/auth/in', CREDENTIALS))).statusCode, 409, 'the limit is two sessions')
  const look = (await app.inject(withToken(token, { url: '/auth/me' }))).json()
  const difference = Date.parse(look.expires_at) - Date.parse(look.idle_expires_at)
  t.ok(difference > 0 && difference <= 30_000, 'the idle expiry comes before the absolute expiry')
  t.equal((await app.inject(withToken(token, { url: '/auth/all' }))).json().length, 2)
  const goodbye = await app.inject(withToken(token, postJson('/auth/out', '')))
  t.match(goodbye.headers, { 'clear-site-data': '"storage", "cookies"' })
  t.equal((await app.inject(withToken(token))).statusCode, 401)
}

t.test('deeply frozen options work, and options are never changed', async (t) => {
  const options = fullOptions((await startUpstream(t)).baseUrl)
  const look = () => inspect(options, { depth: 99, showHidden: true })
  const before = look()
  await assertWorks(t, await createApp(t, deepFreeze(options)))
  t.equal(look().replaceAll(/, \[length\]/g, ''), before.replaceAll(/, \[length\]/g, ''))
  await assertWorks(t, await createApp(t, options))
})

t.test('changes of the options after register() have no effect', async (t) => {
  const options = fullOptions((await startUpstream(t)).baseUrl)
  const app = await createApp(t, options)
  ;(options.jwt.secret[0] as Buffer).fill(0)
  options.jwt.secret.splice(0, 2, MARK)
  options.jwt.issuer = MARK
  options.upstream.baseUrl = 'http://127.0.0.1:1'
  options.upstream.forwardHeaders.push('cookie')
  Object.assign(options.session, { ttlSeconds: 1, idleTimeoutSeconds: 1, maxPerUser: 9, onMaxPerUser: 'evict-oldest' })
  options.routes.session.path = '/other'
  options.routes.sessions.path = '/other'
  options.routes.prefix = '/other'
  Object.assign(options.clearSiteData, ['*'])
  await assertWorks(t, app)
})

t.test('an option object must be a plain object, with or without a prototype', async (t) => {
  const { baseUrl } = await startUpstream(t)
  const bare = Object.assign(Object.create(null), { session: Object.assign(Object.create(null), { ttlSeconds: 9 }) })
  const app = await createApp(t, { ...bare, upstream: { baseUrl } })
  t.equal((await app.inject(postJson('/user/login', CREDENTIALS))).json().expires_in, 9)
  class Settings {
    ttlSeconds = 9
  }
  await assertInvalid(t, 'session', { ...GOOD, session: new Settings() })
  await assertInvalid(t, 'options', Object.assign(new Settings(), GOOD))
  t.ok(await logIn(app))
})

t.test('the error for a missing option has the word "required"', async (t) => {
  const { jwt, upstream } = GOOD
  const client = { register: async () => ({ user: {} }) }
  const cases: [option: string, options: object][] = [
    ['jwt', { upstream }],
    ['jwt.secret', { upstream, jwt: {} }],
    ['jwt.secret', { upstream, jwt: { secret: process.env.NOT_SET } }],
    ['upstream', { jwt }],
    ['upstream', { jwt, routes: { login: false } }],
    ['upstream', { jwt, routes: { register: false } }],
    ['upstream', { jwt, routes: { login: false, register: {} } }],
    ['upstream', { jwt, routes: { login: false, register: undefined } }],
    ['upstream.baseUrl', { jwt, upstream: {} }],
    ['upstream.baseUrl', { jwt, upstream: { baseUrl: process.env.NOT_SET } }]
  ]
  for (const [option, options] of cases) {
    t.match(await rejection(options), { option, message: `The \`${option}\` option is required` })
  }
  t.match(await rejection({ jwt, upstream: client }), { option: 'upstream.register' })
  t.match(await rejection({ jwt }), { code: 'FST_JWT_SESSION_INVALID_OPTION', message: WITHOUT_UPSTREAM })
})

const WITHOUT_UPSTREAM = 'The `upstream` option is required, unless `routes.login` and `routes.register` are both false'

t.test('redis and store that are undefined are refused: sessions do not fall back to memory', async (t) => {
  for (const name of ['redis', 'store']) {
    const message = `The \`${name}\` option is undefined: leave it out for the in-memory store, or await the registration that it comes from`
    t.match(await rejection({ ...GOOD, [name]: undefined }), { option: name, message })
  }
  t.match(await rejection({ ...GOOD, store: createMemoryStore(), redis: undefined }), { option: 'redis' })
})

t.test(
  'without an upstream users log in by routes of the application, and nothing is notified of a logout',
  async (t) => {
    const app = createWatchedFastify(t)
    await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, routes: { login: false, register: false } })
    app.get('/me', { preHandler: app.verifySession }, async (request) => request.session)
    const { token } = await app.sessions.create({ id: 'ada' })
    t.equal((await app.inject(withToken(token))).statusCode, 200)
    for (const url of ['/user/login', '/user/register']) {
      t.equal((await app.inject(postJson(url, CREDENTIALS))).statusCode, 404)
    }
    t.equal((await app.inject(logout(token))).statusCode, 204)
    t.equal((await app.inject(withToken(token))).statusCode, 401)
  }
)

t.test('an upstream without login and register is checked, and notified of logouts', async (t) => {
  const upstream = await startUpstream(t)
  const routes = { login: false, register: false } as const
  await assertInvalid(t, 'upstream.baseUrl', { ...GOOD, routes, upstream: { baseUrl: MARK } })
  const app = await createApp(t, { routes, upstream: { baseUrl: upstream.baseUrl, logoutPath: '/gone' } })
  await app.inject(logout((await app.sessions.create({ id: 'ada' })).token))
  t.strictSame(
    upstream.requests.map(({ path, body }) => [path, body]),
    [['/gone', '{"user":{"id":"ada"}}']]
  )
})

t.test('a secret may be any kind of bytes, and is copied', async (t) => {
  const bytes = new TextEncoder().encode(SECRET)
  const { token } = await (await createApp(t)).sessions.create({ id: 'ada' })
  const store = createMemoryStore()
  const [byText, byBytes] = [await createApp(t, { store }), await createApp(t, { store, jwt: { secret: [bytes] } })]
  const { token: shared } = await byText.sessions.create({ id: 'ada' })
  bytes.fill(0)
  t.equal((await byBytes.inject(withToken(shared))).statusCode, 200)
  t.match((await byBytes.inject(withToken(token))).json(), { reason: 'unknown' })
})
