import { once } from 'node:events'
import { connect } from 'node:net'
import { inspect } from 'node:util'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { fastifyJwtSession, type JwtSessionOptions, verifySession } from '../../lib/index.js'
import { createFakeUpstream, type FakeUpstream, type FakeUpstreamOptions } from '../../lib/testing/index.js'
import { SECRET } from '../fixtures/app.js'
import { PASSWORD } from '../fixtures/planted-secrets.js'
import { until } from '../fixtures/until.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const INVALID = 'FST_JWT_SESSION_INVALID_OPTION'
const USERS = [
  { id: 1, username: 'ada', password: PASSWORD, name: 'Ada' },
  { email: 'bob@example.com', password: PASSWORD, id: 'bob', username: 'bob' }
]
const userSchema = Type.Object({ id: Type.String(), name: Type.Optional(Type.String()) })

interface Scene {
  app: FastifyInstance
  upstream: FakeUpstream
  post(path: string, body?: object, headers?: Record<string, string>): Promise<LightMyRequestResponse>
}

/** An app with the upstream, in this process or over HTTP. */
async function createScene(t: Test, isHttp: boolean, options: FakeUpstreamOptions = {}): Promise<Scene> {
  const upstream = createFakeUpstream({ users: USERS, ...options })
  t.teardown(() => upstream.close())
  const paths = { loginPath: '/v1/signIn?key=1', registerPath: '/v1/signUp?key=1', logoutPath: '/v1/signOut?key=1' }
  const { timeoutMs } = options
  const http = async () => ({ baseUrl: await upstream.listen(paths), ...paths, ...(timeoutMs && { timeoutMs }) })
  const choice: JwtSessionOptions['upstream'] = isHttp ? await http() : upstream
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream: choice, userSchema })
  app.get('/me', { preHandler: verifySession }, async ({ session }) => session.user)
  const post = (path: string, body?: object, headers = {}) =>
    app.inject({ method: 'POST', url: `/user/${path}`, headers, ...(body && { payload: body }) })
  return { app, upstream, post }
}

const ada = { username: 'ada', password: PASSWORD }

for (const [name, isHttp] of [
  ['in this process', false],
  ['over HTTP', true]
] as const) {
  t.test(`an upstream ${name} knows its users`, async (t) => {
    const { upstream, post } = await createScene(t, isHttp)
    const login = await post('login', ada)
    t.match(login.json(), { user: { id: '1', name: 'Ada' } })
    t.equal((await post('login', { ...ada, password: 'wrong' })).json().code, 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
    t.equal((await post('login', { ...ada, username: 'eve' })).statusCode, 401)
    t.notMatch(login.body, PASSWORD)

    const { access_token: token } = login.json()
    const logout = await post('logout', undefined, { authorization: `Bearer ${token}` })
    t.equal(logout.statusCode, 204)
    const operations = upstream.calls.map(({ operation }) => operation)
    t.strictSame(operations, ['login', 'login', 'login', 'logout'])
    t.strictSame(upstream.calls[0]?.body, ada)
    t.strictSame(upstream.calls[3]?.body, { user: { id: '1', name: 'Ada' } })
    t.equal(typeof upstream.calls[0]?.headers['user-agent'], 'string')
    upstream.calls.length = 0
    await post('login', ada)
    t.equal(upstream.calls.length, 1, 'a test may forget the calls')
  })

  t.test(`a user who has registered ${name} can log in`, async (t) => {
    const { post } = await createScene(t, isHttp)
    const eve = { username: 'eve', password: 'a password of Eve', email: 'eve@example.com' }
    const registered = await post('register', eve)
    t.equal(registered.statusCode, 201)
    t.strictSame(registered.json(), { user: { id: 'eve' } })
    t.equal((await post('login', { username: 'eve', password: 'a password of Eve' })).json().user.id, 'eve')
    t.equal((await post('register', eve)).json().code, 'FST_JWT_SESSION_REGISTRATION_REJECTED')
    const sameEmail = { ...eve, username: 'bobby', email: 'bob@example.com' }
    t.equal((await post('register', sameEmail)).statusCode, 409, 'the address is taken too')
    t.equal((await post('register', { ...eve, username: 'ada', email: 'other@example.com' })).statusCode, 409)
  })

  t.test(`a status of an upstream ${name} has its usual effect, until it heals`, async (t) => {
    const { upstream, post } = await createScene(t, isHttp)
    const { access_token: token } = (await post('login', ada)).json()
    const statuses = [
      [401, 401],
      [404, 401],
      [423, 401],
      [429, 429],
      [500, 502],
      [302, 502],
      [503, 503]
    ] as const
    for (const [status, answered] of statuses) {
      upstream.reject(status)
      t.equal((await post('login', ada)).statusCode, answered, `${status}`)
    }
    const eve = { username: 'eve', password: PASSWORD }
    for (const [status, answered] of [
      [422, 422],
      [401, 502]
    ] as const) {
      upstream.reject(status)
      t.equal((await post('register', eve)).statusCode, answered, `${status} to a registration`)
    }
    t.equal((await post('logout', undefined, { authorization: `Bearer ${token}` })).statusCode, 204)
    upstream.heal()
    t.equal((await post('login', ada)).statusCode, 200)
    t.equal((await post('register', eve)).statusCode, 201, 'and nothing was registered meanwhile')
  })

  t.test(`an upstream ${name} that hangs is a timeout, or answers when it heals`, async (t) => {
    const { app, upstream, post } = await createScene(t, isHttp, { timeoutMs: 1_000 })
    upstream.hang()
    t.equal((await post('login', ada)).json().code, 'FST_JWT_SESSION_UPSTREAM_TIMEOUT')
    t.equal(upstream.calls.length, 1)
    const late = createWatchedFastify(t)
    const { timeoutMs, ...rest } = upstream
    const choice = isHttp ? { baseUrl: await upstream.listen(), loginPath: '/v1/signIn' } : rest
    await late.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream: choice })
    const waiting = late.inject({ method: 'POST', url: '/user/login', payload: ada })
    await until(() => upstream.calls.length === 2)
    upstream.heal()
    t.equal((await waiting).statusCode, 200)
    upstream.hang()
    const rejected = late.inject({ method: 'POST', url: '/user/login', payload: ada })
    await until(() => upstream.calls.length === 3)
    upstream.reject(401)
    t.equal((await rejected).statusCode, 401, 'a call that waits meets the next fault')
    t.ok(app)
  })
}

t.test('a login must equal a user in each field that the user has', async (t) => {
  const upstream = createFakeUpstream({ users: USERS })
  const { signal } = new AbortController()
  const context = { headers: {}, ip: '127.0.0.1', signal }
  const logIn = (body: unknown) => upstream.login(body, context)
  t.strictSame(await logIn({ email: 'bob@example.com', password: PASSWORD }), {
    user: { id: 'bob', email: 'bob@example.com', username: 'bob' }
  })
  t.match(await logIn({ ...ada, remember: true }), { user: { id: 1 } }, 'a field that no user has does not matter')
  const wrong = [
    { email: 'bob@example.com', username: 'eve', password: PASSWORD },
    { email: 'ada@example.com', password: PASSWORD },
    { password: PASSWORD },
    { username: 'ada' },
    { username: 'ada', password: [PASSWORD] },
    {},
    [],
    null,
    undefined,
    'text'
  ]
  for (const body of wrong) {
    await t.rejects(logIn(body), { code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' }, JSON.stringify(body))
  }
  for (const body of [{ username: 'eve' }, { password: 'x' }, null]) {
    await t.rejects(upstream.register(body, context), {
      code: 'FST_JWT_SESSION_REGISTRATION_REJECTED',
      statusCode: 400
    })
  }
})

t.test('the server takes JSON and forms, and no other path or method', async (t) => {
  const upstream = createFakeUpstream({ users: USERS })
  t.teardown(() => upstream.close())
  const url = await upstream.listen()
  t.equal(await upstream.listen(), url, 'there is one server')
  const send = (path: string, init: RequestInit) => fetch(url + path, { method: 'POST', ...init })
  const form = await send('/user/login', { body: new URLSearchParams(ada) })
  t.strictSame([form.status, await form.json()], [200, { user: { id: 1, username: 'ada', name: 'Ada' } }])
  t.equal(form.headers.get('content-type'), 'application/json')
  t.equal((await send('/user/login', { body: 'not JSON' })).status, 401)
  t.equal((await send('/user/other', { body: '{}' })).status, 404)
  t.equal((await fetch(`${url}/user/login`)).status, 404)
  t.equal((await send('/user/logout', { body: '{}' })).status, 204)
  t.equal(upstream.calls.length, 3, 'other requests are no calls')
  upstream.reject(429)
  t.equal((await send('/user/login', { body: JSON.stringify(ada) })).status, 429)
})

t.test('a server that is closed closes its connections, and can listen again', async (t) => {
  const upstream = createFakeUpstream({ users: USERS })
  await upstream.close()
  const url = new URL(await upstream.listen())
  upstream.hang()
  const answer = fetch(`${url}user/login`, { method: 'POST', body: '{}' }).catch(() => 'closed')
  const cut = connect(Number(url.port), url.hostname)
  const closed = once(cut.resume(), 'close')
  cut.end('POST /user/login HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\n{')
  await until(() => upstream.calls.length === 1)
  await Promise.all([upstream.close(), upstream.close()])
  t.equal(await answer, 'closed')
  await closed
  await t.rejects(fetch(url))
  upstream.heal()
  const again = await upstream.listen()
  t.teardown(() => upstream.close())
  t.equal((await fetch(`${again}/user/login`, { method: 'POST', body: JSON.stringify(ada) })).status, 200)
})

t.test('wrong users and options are named, and no password is told', async (t) => {
  const create = (options: unknown) => () => createFakeUpstream(options as FakeUpstreamOptions)
  const wrong: [string, unknown][] = [
    ['users', { users: { ada: PASSWORD } }],
    ['users[1]', { users: [USERS[0], { password: PASSWORD }] }],
    ['users[0]', { users: [{ username: 'ada', password: 1 }] }],
    ['users[0]', { users: [PASSWORD] }],
    ['users[0]', { users: [{ id: null, password: PASSWORD }] }],
    ['options.user', { user: USERS }]
  ]
  for (const [option, options] of wrong) {
    t.throws(create(options), { code: INVALID, option }, option)
    try {
      create(options)()
    } catch (error) {
      t.notMatch(inspect(error, { depth: 9, showHidden: true }), PASSWORD)
    }
  }
  const upstream = createFakeUpstream({ users: USERS })
  t.notMatch(inspect(upstream, { depth: 9, showHidden: true }), PASSWORD)
  for (const status of [200, 299, 600, 400.5, Number.NaN]) {
    t.throws(() => upstream.reject(status), { code: INVALID, option: 'status' }, `${status}`)
  }
  const path: object = { path: '/login' }
  await t.rejects(upstream.listen(path), { code: INVALID, option: 'paths.path' })
  for (const loginPath of [5, null, 'login', '/a/../b']) {
    await t.rejects(upstream.listen({ loginPath: loginPath as string }), { code: INVALID, option: 'paths.loginPath' })
  }
  t.strictSame(createFakeUpstream().calls, [])
})
