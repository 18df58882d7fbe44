import t from 'tap'
import { fastifyJwtSession, InvalidOptionError, type JwtSessionOptions } from '../../lib/index.js'
import { createApp, SECRET } from '../fixtures/app.js'
import { createHost } from '../fixtures/host.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const required: JwtSessionOptions = { jwt: { secret: SECRET }, upstream: { baseUrl: 'http://127.0.0.1:1' } }

t.test('`routes.prefix` and the `prefix` of register() give the same paths', async (t) => {
  const cases: [options: Partial<JwtSessionOptions>, login: string, notFound: string][] = [
    [{}, '/user/login', '/login'],
    [{ routes: { prefix: '/auth' } }, '/auth/login', '/user/login'],
    [{ prefix: '/auth' }, '/auth/login', '/user/login'],
    [{ prefix: '/auth', routes: { prefix: '/auth' } }, '/auth/login', '/auth/auth/login'],
    [{ routes: { prefix: '/v1/auth' } }, '/v1/auth/login', '/v1/login'],
    [{ routes: { prefix: '' } }, '/login', '/user/login'],
    [{ routes: { prefix: '/' } }, '/login', '//login'],
    [{ prefix: '' }, '/login', '/user/login'],
    [{ prefix: '/' }, '/login', '/user/login']
  ]
  for (const [options, login, notFound] of cases) {
    await t.test(JSON.stringify(options), async (t) => {
      const app = await createApp(t, options)
      t.equal((await app.inject(postJson(login, CREDENTIALS))).statusCode, 200)
      t.equal((await app.inject(postJson(login.replace('login', 'register'), CREDENTIALS))).statusCode, 201)
      t.equal((await app.inject(postJson(login.replace('login', 'logout'), ''))).statusCode, 204)
      t.equal((await app.inject(postJson(notFound, CREDENTIALS))).statusCode, 404)
      t.equal((await app.inject('/me')).statusCode, 401, 'the routes of the host have no prefix')
    })
  }
})

t.test('two different prefixes fail register()', async (t) => {
  const app = createWatchedFastify(t)
  const options = { ...required, prefix: '/auth', routes: { prefix: '/user' } }
  const error = await t.rejects(async () => await app.register(fastifyJwtSession, options))
  t.ok(error instanceof InvalidOptionError)
  t.match(error, { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'routes.prefix', message: /contradicts/ })
})

t.test('in a scope with a prefix, the paths begin with the prefix of the scope', async (t) => {
  const { baseUrl } = await startUpstream(t)
  const app = createWatchedFastify(t)
  app.register(
    async (scope) => {
      await scope.register(fastifyJwtSession, { ...required, upstream: { baseUrl } })
    },
    { prefix: '/v1' }
  )
  t.equal((await app.inject(postJson('/v1/user/login', CREDENTIALS))).statusCode, 200)
  t.equal((await app.inject(postJson('/user/login', CREDENTIALS))).statusCode, 404)
})

t.test('each route may have a custom path', async (t) => {
  const app = await createApp(t, {
    routes: { login: { path: '/sessions/new' }, register: { path: '/sign-up' }, logout: { path: '/bye' } }
  })
  t.equal((await app.inject(postJson('/user/sessions/new', CREDENTIALS))).statusCode, 200)
  t.equal((await app.inject(postJson('/user/sign-up', CREDENTIALS))).statusCode, 201)
  t.equal((await app.inject(postJson('/user/bye', ''))).statusCode, 204)
  for (const path of ['login', 'register', 'logout']) {
    t.equal((await app.inject(postJson(`/user/${path}`, CREDENTIALS))).statusCode, 404)
  }
})

t.test('a disabled route is 404, and the other routes work', async (t) => {
  const answers = { login: 200, register: 201, logout: 204 } as const
  for (const off of Object.keys(answers)) {
    const app = await createApp(t, { routes: { [off]: false } })
    for (const [name, statusCode] of Object.entries(answers)) {
      const answer = await app.inject(postJson(`/user/${name}`, CREDENTIALS))
      t.equal(answer.statusCode, name === off ? 404 : statusCode)
    }
  }
  const app = await createApp(t, { routes: { login: false, register: false, logout: false } })
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject({ url: '/me', headers: { authorization: `Bearer ${token}` } })).statusCode, 200)
})

t.test('without a register method of the upstream there is no register route', async (t) => {
  const app = await createApp(t, { upstream: { login: async () => ({ user: { id: 'ada' } }) } })
  t.equal((await app.inject(postJson('/user/login', CREDENTIALS))).statusCode, 200)
  t.equal((await app.inject(postJson('/user/register', CREDENTIALS))).statusCode, 404)
})

t.test('login, register and logout accept only POST', async (t) => {
  const upstream = await startUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const headers = { authorization: `Bearer ${token}` }
  for (const path of ['login', 'register', 'logout']) {
    for (const method of ['GET', 'HEAD', 'PUT', 'PATCH', 'DELETE', 'OPTIONS', 'TRACE'] as const) {
      const answer = await app.inject({ ...postJson(`/user/${path}`, CREDENTIALS, headers), method })
      t.equal(answer.statusCode, 404)
      t.notOk(answer.headers['clear-site-data'])
    }
    for (const header of ['x-http-method-override', 'x-method-override', 'x-http-method']) {
      const answer = await app.inject({ url: `/user/${path}`, headers: { ...headers, [header]: 'POST' } })
      t.equal(answer.statusCode, 404)
    }
  }
  t.strictSame(upstream.requests, [])
  t.ok(await app.sessions.find(session.id), 'no session has ended')
})

t.test('a path that the host has already registered fails the start', async (t) => {
  const taken = createHost(t, { before: (app) => app.post('/user/login', async () => 'mine') })
  await t.rejects(taken, { code: 'FST_ERR_DUPLICATED_ROUTE' })
})
