import fastifyCookie from '@fastify/cookie'
import fastifyJwt from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { fastifyJwtSession, type JwtSessionOptions, verifySession } from '../../lib/index.js'
import { createApp, logIn, SECRET, withToken } from '../fixtures/app.js'
import { setEnv } from '../fixtures/set-env.js'
import { startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const required: JwtSessionOptions = { jwt: { secret: SECRET }, upstream: { baseUrl: 'http://127.0.0.1:1' } }

t.test('the host may register @fastify/jwt and @fastify/cookie before or after the plugin', async (t) => {
  const { baseUrl } = await startUpstream(t)
  const plugins: ((app: FastifyInstance) => PromiseLike<unknown>)[] = [
    (app) => app.register(fastifyJwt, { secret: 'the secret of the host application' }),
    (app) => app.register(fastifyCookie),
    (app) => app.register(fastifyJwtSession, { ...required, upstream: { baseUrl } })
  ]
  for (const order of [plugins, plugins.toReversed()]) {
    const app = createWatchedFastify(t)
    for (const register of order) await register(app)
    app.get('/me', { preHandler: app.verifySession }, async (request) => request.session.user)
    app.get('/host', async (request) => request.jwtVerify())

    const token = await logIn(app)
    t.equal((await app.inject(withToken(token))).statusCode, 200)
    t.equal(
      (await app.inject(withToken(token, { url: '/host' }))).statusCode,
      401,
      'a session token is not a token of the host'
    )
    const hostToken = app.jwt.sign({ sub: 'ada' })
    t.equal((await app.inject(withToken(hostToken, { url: '/host' }))).statusCode, 200)
    t.equal((await app.inject(withToken(hostToken))).statusCode, 401, 'a token of the host is not a session token')
  }
})

t.test('two registrations in sibling scopes are independent', async (t) => {
  const app = createWatchedFastify(t)
  const tenants = { red: await startUpstream(t), blue: await startUpstream(t) }
  for (const [name, { baseUrl }] of Object.entries(tenants)) {
    app.register(async (scope) => {
      const jwt = { secret: `the secret of the tenant ${name} is long enough` }
      await scope.register(fastifyJwtSession, { jwt, upstream: { baseUrl }, prefix: `/${name}` })
      scope.get(`/${name}/me`, { preHandler: scope.verifySession }, async (request) => request.session.user)
    })
  }
  const logInAt = async (name: string) => {
    const payload = { username: name, password: 'correct horse battery staple' }
    return (await app.inject({ method: 'POST', url: `/${name}/login`, payload })).json().access_token
  }
  const red = await logInAt('red')
  const blue = await logInAt('blue')
  t.equal((await app.inject(withToken(red, { url: '/red/me' }))).json().id, 'red')
  t.equal((await app.inject(withToken(blue, { url: '/blue/me' }))).json().id, 'blue')
  t.equal((await app.inject(withToken(red, { url: '/blue/me' }))).statusCode, 401)
  t.equal(tenants.red.requests.length, 1)
  t.equal(tenants.blue.requests.length, 1)
})

t.test('a conflicting decorator fails the start, and the error explains the conflict', async (t) => {
  for (const take of [
    (app: FastifyInstance) => app.decorateRequest('session', null as never),
    (app: FastifyInstance) => app.decorate('sessions', {} as never),
    (app: FastifyInstance) => app.decorate('verifySession', {} as never),
    (app: FastifyInstance) => app.register(fastifyJwtSession, required)
  ]) {
    const app = createWatchedFastify(t)
    await take(app)
    await t.rejects(async () => await app.register(fastifyJwtSession, required), {
      code: 'FST_JWT_SESSION_ALREADY_DECORATED',
      message: /is taken in this scope: by @fastify\/session, or by a second registration/
    })
  }
})

t.test('app.sessions opens, finds and ends sessions without the upstream', async (t) => {
  const app = await createApp(t)
  const { token, session } = await app.sessions.create({ id: 'ada' }, { ip: '::1', userAgent: 'x'.repeat(1_000) })
  t.match(session, { user: { id: 'ada' }, ip: '::1', userAgent: 'x'.repeat(256), lastSeenAt: session.createdAt })
  t.equal(session.expiresAt, session.createdAt + 43_200_000)
  t.strictSame((await app.inject(withToken(token))).json(), session)
  t.strictSame(await app.sessions.find(session.id), session)
  await app.sessions.revoke(session.id)
  await app.sessions.revoke(session.id)
  t.equal(await app.sessions.find(session.id), null)
  t.equal((await app.inject(withToken(token))).json().reason, 'revoked')

  const { session: bare } = await app.sessions.create({ id: 'ada' })
  t.match(bare, { ip: null, userAgent: null })
  t.not(bare.id, session.id)
  t.equal(await app.sessions.isReady(), true)
})

t.test('app.sessions refuses a user that does not match the schema, and never changes the argument', async (t) => {
  const app = await createApp(t)
  const circular: Record<string, unknown> = { id: 'ada' }
  circular.self = circular
  for (const user of [null, {}, { id: '' }, { id: 1.5 }, [], 'ada', { id: 1n }, circular]) {
    await t.rejects(app.sessions.create(user as never), { code: 'FST_JWT_SESSION_INVALID_USER' })
  }
  const user = Object.freeze({ id: 'ada', role: 'admin' })
  t.strictSame((await app.sessions.create(user)).session.user, { id: 'ada' })
})

t.test('a decorator of the host with the name verifySession is not the guard', async (t) => {
  const app = createWatchedFastify(t)
  app.decorate('verifySession', async () => {})
  app.get('/me', { preHandler: verifySession }, async () => 'private')
  t.match((await app.inject('/me')).json(), { statusCode: 500, code: 'FST_JWT_SESSION_NOT_REGISTERED' })
})

t.test('session details that are not strings are dropped', async (t) => {
  const app = await createApp(t)
  for (const details of [null, 5, { ip: 5, userAgent: ['a'] }]) {
    const { token, session } = await app.sessions.create({ id: 'ada' }, details as never)
    t.match(session, { ip: null, userAgent: null })
    t.equal((await app.inject(withToken(token))).statusCode, 200)
  }
})

t.test('with NODE_ENV=production the memory store causes one warning', async (t) => {
  const emitWarning = t.capture(process, 'emitWarning')
  await createApp(t)
  t.equal(emitWarning().length, 0)
  setEnv(t, { NODE_ENV: 'production' })
  await createApp(t)
  await createApp(t)
  const warnings = emitWarning()
  t.equal(warnings.length, 1)
  t.match(warnings[0]?.args, [
    /memory of this process.*Set `redis` or `store`/,
    { code: 'FST_JWT_SESSION_MEMORY_STORE' }
  ])
})
