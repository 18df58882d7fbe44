import { once } from 'node:events'
import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Client } from 'undici'
import { fastifyJwtSession, type JwtSessionOptions, verifySession } from '../../lib/index.js'
import { createApp, logIn, SECRET, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createGuardedHost, GUARDED } from '../fixtures/guarded.js'
import { createHost } from '../fixtures/host.js'
import { listen } from '../fixtures/listen.js'
import { until } from '../fixtures/until.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const options: JwtSessionOptions = {
  jwt: { secret: SECRET },
  upstream: { login: async (credentials) => ({ user: { id: (credentials as { username: string }).username } }) }
}
const authorize = (token: string) => ({ authorization: `Bearer ${token}` })

t.test('request.session is the session on a guarded route, and null on other routes', async (t) => {
  const app = await createApp(t)
  const token = await logIn(app, 'ada', { 'user-agent': 'a browser' })
  const session = (await app.inject(withToken(token))).json()
  t.strictSame(Object.keys(session).sort(), [
    'createdAt',
    'data',
    'expiresAt',
    'id',
    'ip',
    'lastSeenAt',
    'user',
    'userAgent'
  ])
  t.match(session, { user: { id: 'ada' }, ip: '127.0.0.1', userAgent: 'a browser', lastSeenAt: session.createdAt })
  t.equal(session.expiresAt - session.createdAt, 43_200_000)
  t.strictSame((await app.inject(withToken(token, { url: '/open' }))).json(), { session: null })
})

t.test('no request sees the session of another request, on one connection or on many', async (t) => {
  const { app } = await createHost(t, {
    after(app) {
      app.get('/open', async (request) => ({ session: request.session }))
      app.get('/me', { onRequest: app.verifySession }, async (request) => {
        const before = request.session.user.id
        await turn()
        return { before, after: request.session.user.id }
      })
    }
  })
  const { origin } = await listen(t, app)
  const users = ['ada', 'bob', 'eve']
  const tokens = await Promise.all(users.map((user) => logIn(app, user)))

  const keptAlive = new Client(origin)
  t.teardown(() => keptAlive.close())
  const get = async (path: string, headers = {}) => {
    const { statusCode, body } = await keptAlive.request({ method: 'GET', path, headers })
    return { statusCode, body: await body.json() }
  }
  for (const [index, token] of tokens.entries()) {
    const [before, after] = [users[index], users[index]]
    t.strictSame(await get('/me', authorize(token)), { statusCode: 200, body: { before, after } })
    t.strictSame(await get('/open', authorize(token)), { statusCode: 200, body: { session: null } })
    t.match(await get('/me'), { statusCode: 401, body: { code: 'FST_JWT_SESSION_MISSING' } })
    t.match(await get('/me', authorize(`${token}x`)), { statusCode: 401, body: { code: 'FST_JWT_SESSION_ENDED' } })
  }

  const visits = Array.from({ length: 150 }, async (_, index) => {
    const [user, token = ''] = [users[index % 3], tokens[index % 3]]
    const answer = await fetch(`${origin}/me`, { headers: authorize(token) })
    return JSON.stringify(await answer.json()) === JSON.stringify({ before: user, after: user })
  })
  t.ok((await Promise.all(visits)).every(Boolean))
})

t.test('changes of a handler to request.session end with the request', async (t) => {
  const { app } = await createHost(t, {
    after(app) {
      app.get('/me', { preHandler: app.verifySession }, async (request) => request.session)
      app.get('/change', { preHandler: app.verifySession }, async (request) => {
        Object.assign(request.session.user, { id: 'mallory', admin: true })
        Object.assign(request.session, { id: 'x', expiresAt: 0 })
        const changed = JSON.stringify(request.session)
        request.session = null as never
        return changed
      })
    }
  })
  const token = await logIn(app)
  const before = (await app.inject(withToken(token))).json()
  t.match((await app.inject(withToken(token, { url: '/change' }))).body, 'mallory')
  t.strictSame((await app.inject(withToken(token))).json(), before)
  const { session } = await app.sessions.create({ id: 'bob' })
  Object.assign(session.user, { id: 'mallory' })
  t.equal((await app.sessions.find(session.id))?.user.id, 'bob', 'changes to the result of create() are not stored')
})

t.test('HEAD is guarded like GET, and OPTIONS does not bypass the guard', async (t) => {
  const { app, ran, token, refusals } = await createGuardedHost(t)
  const refused = await refusals('/pre-handler')
  for (const [headers, expected] of [
    [{}, refused.missing],
    [authorize('garbage'), refused.invalid]
  ] as const) {
    const answer = await app.inject({ method: 'HEAD', url: '/pre-handler', headers })
    t.equal(answer.statusCode, 401)
    t.equal(answer.body, '')
    t.strictSame({ ...answer.headers, date: '' }, { ...expected?.headers, date: '' })
    for (const method of ['OPTIONS', 'POST', 'PUT', 'DELETE', 'PATCH'] as const) {
      t.equal((await app.inject({ method, url: '/pre-handler', headers })).statusCode, 404)
    }
  }
  t.strictSame(ran, [])
  t.equal((await app.inject(withToken(token, { method: 'HEAD', url: '/pre-handler' }))).statusCode, 200)
})

t.test('a client that hangs up during a refusal does no harm', async (t) => {
  let [sending, sent] = [0, 0]
  const { app, ran } = await createGuardedHost(t, (app) =>
    app.addHook('onSend', async (_request, reply) => {
      sending++
      if (!reply.raw.destroyed) await once(reply.raw, 'close')
      await turn()
      sent++
    })
  )
  const { dial } = await listen(t, app)
  // In '/or-first' another check accepts the request.
  const paths = GUARDED.filter((path) => path !== '/or-first')
  for (const [index, path] of paths.entries()) {
    const { socket } = dial()
    socket.write(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n`)
    await until(() => sending > index)
    socket.destroy()
  }
  await until(() => sent === sending)
  await turn()
  t.strictSame(ran, [])
})

/** The plugin in a scope, and routes with the imported guard inside and outside of the scope. */
async function createScopes(t: Test): Promise<{ app: FastifyInstance; ran: string[] }> {
  const ran: string[] = []
  const app = createWatchedFastify(t)
  const addRoute = (scope: FastifyInstance, path: string) =>
    scope.get(path, { preHandler: verifySession }, async (request) => {
      ran.push(path)
      return request.session
    })
  addRoute(app, '/outside')
  app.register(async (scope) => {
    addRoute(scope, '/before')
    await scope.register(fastifyJwtSession, options)
    addRoute(scope, '/after')
    scope.register(async (child) => void addRoute(child, '/child'))
  })
  app.register(async (sibling) => void addRoute(sibling, '/sibling'))
  await app.ready()
  return { app, ran }
}

t.test('the imported guard uses the plugin in the scope of the route, before or after the route', async (t) => {
  const { app, ran } = await createScopes(t)
  const token = await logIn(app)
  for (const path of ['/before', '/after', '/child']) {
    assertRefused(t, await app.inject(path), { statusCode: 401, code: 'FST_JWT_SESSION_MISSING' })
    t.strictSame(ran, [])
    t.equal((await app.inject(withToken(token, { url: path }))).json().user.id, 'ada')
    t.equal(ran.pop(), path)
  }
})

t.test('outside of the scope of the plugin the guard answers each request with a coded error', async (t) => {
  const { app, ran } = await createScopes(t)
  const token = await logIn(app)
  for (const path of ['/outside', '/sibling']) {
    for (const request of [{ url: path }, withToken(token, { url: path }), withToken('garbage', { url: path })]) {
      const answer = await app.inject(request)
      t.equal(answer.statusCode, 500)
      t.match(answer.json(), { code: 'FST_JWT_SESSION_NOT_REGISTERED', message: /not registered in the scope/ })
      t.notOk(answer.headers['clear-site-data'] ?? answer.headers['session-ended'])
    }
  }
  t.strictSame(ran, [])
  t.equal((await app.inject(withToken(token, { url: '/after' }))).statusCode, 200, 'the app still works')
})
