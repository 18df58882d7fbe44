import fastifyCookie from '@fastify/cookie'
import fastifySwagger from '@fastify/swagger'
import t from 'tap'
import { createMemoryStore, type JwtSessionOptions, type SessionStore, verifySession } from '../../lib/index.js'
import { COOKIE, type CookieHost, cookieLine, credentialsOf, startCookieApp, tokenOf } from '../fixtures/cookie-app.js'
import { readPayload } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'
import { startUpstream } from '../fixtures/upstream.js'

const OWN = 'Sec-Fetch-Site: same-origin'
const BEARER = 'Session-Transport: bearer'
const ATTRIBUTES = 'Path=/; Secure; HttpOnly; SameSite=Lax'
const DELETED = `${COOKIE}=; ${ATTRIBUTES}; Max-Age=0`

const login = (username: string, ...lines: string[]) => ({
  line: 'POST /user/login',
  lines: [OWN, ...lines],
  body: credentialsOf(username)
})
const magic = (username: string, ...lines: string[]) => ({
  line: `POST /magic?user=${username}`,
  lines: [OWN, ...lines]
})
const logout = (...lines: string[]) => ({ line: 'POST /user/logout', lines: [OWN, ...lines] })
const visit = (token: string) => ({ line: 'GET /me', lines: [cookieLine(`${COOKIE}=${token}`)] })

t.test('a login sets the cookie, and the body has no token', async (t) => {
  const { send } = await startCookieApp(t)
  for (const request of [login('ada'), magic('ada')]) {
    const answer = await send(request)
    t.equal(answer.response.status, 200)
    t.equal(answer.response.body, '{"token_type":"Cookie","expires_in":43200,"user":{"id":"ada"}}')
    const token = tokenOf(answer)
    t.strictSame(answer.setCookies, [`${COOKIE}=${token}; ${ATTRIBUTES}; Max-Age=43200`])
    t.match(readPayload(token), { sub: 'ada' })
    t.strictSame(answer.clearSignal, [])
    t.equal((await send(visit(token))).response.body, '{"user":{"id":"ada"}}')
  }
})

t.test('the `cookie` option sets the attributes of the cookie', async (t) => {
  const cases: [cookie: JwtSessionOptions['cookie'], attributes: string, maxAge: string][] = [
    [{ sameSite: 'strict' }, 'Path=/; Secure; HttpOnly; SameSite=Strict', '; Max-Age=60'],
    [{ persistent: false }, ATTRIBUTES, ''],
    [{ persistent: true, sameSite: 'lax', origins: [] }, ATTRIBUTES, '; Max-Age=60'],
    [{ name: undefined, persistent: undefined, sameSite: undefined, origins: undefined }, ATTRIBUTES, '; Max-Age=60']
  ]
  for (const [cookie, attributes, maxAge] of cases) {
    const { send } = await startCookieApp(t, { options: { cookie, session: { ttlSeconds: 60 } } })
    const answer = await send(login('ada'))
    t.strictSame(answer.setCookies, [`${COOKIE}=${tokenOf(answer)}; ${attributes}${maxAge}`])
    t.strictSame((await send(logout())).setCookies, [`${COOKIE}=; ${attributes}; Max-Age=0`])
  }
})

t.test('Max-Age is the lifetime of the session', async (t) => {
  const { send } = await startCookieApp(t, {
    after: (app) =>
      app.post('/short', async (request, reply) =>
        app.sessions.login(request, reply, { id: 'ada' }, { ttlSeconds: 90, data: { a: 1 } })
      )
  })
  const { response, setCookies } = await send({ line: 'POST /short', lines: [OWN] })
  t.match(response.body, '"expires_in":90,')
  t.match(setCookies[0], /; Max-Age=90$/)
})

t.test('a client that asks for a bearer token gets the token in the body, and no cookie', async (t) => {
  const { send } = await startCookieApp(t)
  for (const request of [login('ada', BEARER), magic('ada', BEARER)]) {
    const { response, setCookies } = await send(request)
    const { access_token: token, ...rest } = JSON.parse(response.body)
    t.strictSame(rest, { token_type: 'Bearer', expires_in: 43_200, user: { id: 'ada' } })
    t.strictSame(setCookies, [])
    const { response: answer } = await send({ line: 'POST /me', lines: [`Authorization: Bearer ${token}`] })
    t.equal(answer.status, 200)
  }
})

t.test('a login ends the session of the cookie, also when the reply has a bearer token', async (t) => {
  const { app, send, open } = await startCookieApp(t)
  for (const lines of [[], [BEARER]]) {
    for (const [kind, request] of Object.entries({ login, magic })) {
      const ofSameUser = await open('ada')
      await app.sessions.update(ofSameUser.session.id, { cart: 1 })
      t.equal((await send(request('ada', ofSameUser.line, ...lines))).response.status, 200, kind)
      t.equal(await app.sessions.find(ofSameUser.session.id), null, 'the session of the same user')
      t.strictSame((await app.sessions.list('ada')).at(-1)?.data, { cart: 1 }, 'the data is copied to the new session')
      const ended = await send({ line: 'GET /me', lines: [ofSameUser.line] })
      t.match(JSON.parse(ended.response.body), { statusCode: 401, reason: 'logged_in_again' })
      t.strictSame([ended.clearSignal, ended.setCookies], [[], []])

      const ofOtherUser = await open('bob')
      const answer = await send(request('ada', ofOtherUser.line, ...lines))
      t.strictSame(answer.clearSignal, ['"storage"'], 'the storage of the other user is cleared')
      t.equal(await app.sessions.find(ofOtherUser.session.id), null, 'the session of another user')
    }
  }
})

t.test('a login with a bearer token ends the session of that token', async (t) => {
  const { app, send, open } = await startCookieApp(t)
  const byBearer = await open('ada')
  const answer = await send(login('ada', `Authorization: Bearer ${byBearer.token}`))
  t.match(answer.response.body, '"Cookie"')
  t.equal(await app.sessions.find(byBearer.session.id), null)
})

t.test('a login that is not answered 200 sets no cookie and ends no session', async (t) => {
  const { app, send, open } = await startCookieApp(t, {
    options: { session: { maxPerUser: 1, onMaxPerUser: 'reject' } }
  })
  const { line, session } = await open('ada')
  await open('bob')
  const wrong = { ...login('ada', line), body: { username: 'ada', password: 'x' } }
  for (const [status, request] of [
    [401, wrong],
    [400, { ...wrong, body: {} }],
    [409, login('bob', line)],
    [409, magic('bob', line)]
  ] as const) {
    const { response, setCookies } = await send(request)
    t.equal(response.status, status)
    t.strictSame(setCookies, [])
  }
  t.not(await app.sessions.find(session.id), null)
})

t.test('a login opens no session when the cookie would exceed 4,096 bytes', async (t) => {
  const sizes = { claim: 0 }
  const jwt = { secret: 'an example secret of 32 bytes or more', claims: () => ({ x: 'x'.repeat(sizes.claim) }) }
  const { app, send, open } = await startCookieApp(t, { options: { jwt } })
  const lengthOf = async () => COOKIE.length + (await open('ada')).token.length
  // Base64url encodes three letters as four characters.
  while ((await lengthOf()) <= 4_096) sizes.claim += Math.max(1, Math.floor(((4_096 - (await lengthOf())) * 3) / 4))
  await app.sessions.revokeAll('ada')
  const { line, session } = await open('ada')
  for (const request of [login('ada', line), magic('ada', line), login('bob', line)]) {
    const { response, code, setCookies, storeCalls } = await send(request)
    t.match([response.status, code, setCookies], [500, 'FST_JWT_SESSION_INVALID_CLAIMS', []])
    t.strictSame(
      storeCalls.filter((call) => !call.startsWith('find ')),
      []
    )
  }
  t.not(await app.sessions.find(session.id), null, 'the session of the request stays live')
  t.strictSame(await app.sessions.list('bob'), [])

  sizes.claim--
  const total = await lengthOf()
  t.ok(total <= 4_096 && total > 4_092, `${total} bytes`)
  const { setCookies, response } = await send(login('bob'))
  t.equal(response.status, 200)
  t.equal(setCookies.length, 1)
  sizes.claim = 5_000
  t.equal((await send(login('bob', BEARER))).response.status, 200, 'a bearer token may be longer')
})

t.test('a logout ends the session of the cookie and deletes the cookie, also without a session', async (t) => {
  const { app, send, open } = await startCookieApp(t)
  const { line, session } = await open()
  const ended = await send(logout(line))
  t.match(ended, { response: { status: 204 }, setCookies: [DELETED], clearSignal: ['"storage"', 'logged_out'] })
  t.equal(await app.sessions.find(session.id), null)
  const other = await open()
  for (const lines of [
    [line],
    [],
    [cookieLine(`${COOKIE}=garbage`)],
    [`Cookie: ${COOKIE}=${other.token}; ${COOKIE}=${other.token}`],
    ['Authorization: Bearer garbage', other.line]
  ]) {
    const answer = await send(logout(...lines))
    t.match(answer, { response: { status: 204 }, setCookies: [DELETED], clearSignal: ['"storage"', 'logged_out'] })
    t.equal(answer.setCookies.length, 1)
  }
  t.not(
    await app.sessions.find(other.session.id),
    null,
    'two cookies, or a cookie beside a bearer token, end no session'
  )
})

t.test('a logout that the store did not acknowledge leaves the cookie for the next logout', async (t) => {
  const memory = createMemoryStore()
  let isDown = true
  const end: SessionStore['end'] = async (...args) =>
    isDown ? Promise.reject(new Error('The store is down')) : memory.end(...args)
  const { send, open } = await startCookieApp(t, { options: { store: { ...memory, end } } })
  const { line } = await open()
  t.match(await send(logout(line)), { response: { status: 503 }, setCookies: [], clearSignal: [] })
  isDown = false
  t.match(await send(logout(line)), { response: { status: 204 }, setCookies: [DELETED] })
})

t.test('only a login and a logout set or delete the cookie', async (t) => {
  const { app, send, open } = await startCookieApp(t)
  const { line, session } = await open()
  const requests = ['GET /me', 'GET /user/session', 'GET /user/sessions', 'GET /optional'].map((line) => ({ line }))
  for (const request of requests) t.strictSame((await send({ ...request, lines: [line] })).setCookies, [])
  const registered = await send({ ...login('ada', line), line: 'POST /user/register' })
  t.match(registered, { response: { status: 201 }, setCookies: [] })
  await app.sessions.revoke(session.id)
  for (const request of requests) {
    const visit = () => send({ ...request, lines: [line] })
    await until(async () => (await visit()).response.status === 401)
    const { setCookies, clearSignal } = await visit()
    t.strictSame([setCookies, clearSignal], [[], ['"storage"', 'revoked']], request.line)
    t.strictSame((await send(request)).setCookies, [])
  }
})

/** The sorted cookies, without the attribute that @fastify/cookie adds. */
function withoutDefaults(setCookies: string[]): string[] {
  return setCookies.map((line) => line.replace(/(?<=Path=\/); SameSite=Lax$/, '')).toSorted()
}

t.test('cookies of the host are set beside the session cookie', async (t) => {
  const early = ['early=1; Path=/', 'second=2; Path=/']
  const hosts: Record<string, NonNullable<CookieHost['before']>> = {
    'a hook before': (app) =>
      app.addHook('onRequest', async (_request, reply) => void reply.header('set-cookie', early)),
    'a hook after': (app) =>
      app.addHook('onSend', async (_request, reply) => void early.map((cookie) => reply.header('set-cookie', cookie))),
    '@fastify/cookie': async (app) => {
      await app.register(fastifyCookie)
      app.addHook('onRequest', async (_request, reply) => void reply.setCookie('early', '1', { path: '/' }))
      app.addHook('onSend', async (_request, reply) => void reply.setCookie('second', '2', { path: '/' }))
    }
  }
  for (const [name, before] of Object.entries(hosts)) {
    const { send } = await startCookieApp(t, { before })
    const answer = await send(login('ada'))
    const own = `${COOKIE}=${tokenOf(answer)}; ${ATTRIBUTES}; Max-Age=43200`
    t.strictSame(withoutDefaults(answer.setCookies), [...early, own].toSorted(), name)
    t.strictSame(withoutDefaults((await send(logout())).setCookies), [...early, DELETED].toSorted(), name)
  }
  t.equal(early.length, 2)
})

t.test('app.sessions.login() sets the cookie also on a redirect', async (t) => {
  const { send } = await startCookieApp(t, {
    after: (app) =>
      app.get('/callback', async (request, reply) => {
        const answer = await app.sessions.login(request, reply, { id: 'ada' })
        t.equal(answer.token_type, 'Cookie')
        return reply.header('cache-control', 'private').redirect('/')
      })
  })
  const answer = await send({ line: 'GET /callback', lines: ['Sec-Fetch-Site: cross-site'] })
  t.equal(answer.response.status, 302)
  t.equal((await send(visit(tokenOf(answer)))).response.status, 200)
})

t.test('the upstream gets neither the cookie nor the header that asks for a bearer token', async (t) => {
  const seen: string[] = []
  const { baseUrl } = await startUpstream(t, (request, response) => {
    seen.push(JSON.stringify(request.rawHeaders))
    request.resume().on('end', () => response.end('{"user":{"id":"ada"}}'))
  })
  const { send, open } = await startCookieApp(t, { options: { upstream: { baseUrl, logoutPath: '/user/logout' } } })
  const { line } = await open('ada')
  await send(login('ada', line, 'Session-Transport: bearer'))
  await send({ ...login('ada', line), line: 'POST /user/register' })
  await send(logout((await open('ada')).line))
  t.equal(seen.length, 3)
  for (const headers of seen) t.notMatch(headers, /cookie|eyJ|session-transport|sec-fetch|origin/i)
})

t.test('the guard, freshSeconds, the sessions routes and update() work with the cookie', async (t) => {
  const { app, send, open } = await startCookieApp(t, {
    after: (app) => {
      const config = { session: { freshSeconds: 1 } }
      app.get('/fresh', { preHandler: verifySession, config }, async () => 'fresh')
      app.post('/cart', { preHandler: verifySession }, async ({ session }) => (await session.update({ a: 1 }))?.data)
    }
  })
  const { line, session } = await open('ada')
  const other = await open('ada')
  const request = async (requestLine: string) => (await send({ line: requestLine, lines: [OWN, line] })).response
  t.equal((await request('GET /fresh')).status, 200)
  await until(() => Date.now() > session.createdAt + 1_001)
  t.match(await request('GET /fresh'), { status: 401, body: 'FST_JWT_SESSION_NOT_FRESH' })
  t.match(await request('POST /cart'), { status: 200, body: '{"a":1}' })
  t.match(await request('GET /user/session'), { status: 200, body: '"ada"' })
  const listed: { id: string; current: boolean }[] = JSON.parse((await request('GET /user/sessions')).body)
  t.strictSame(Object.fromEntries(listed.map(({ id, current }) => [id, current])), {
    [session.id]: true,
    [other.session.id]: false
  })
  t.equal((await request(`DELETE /user/sessions/${other.session.id}`)).status, 204)
  t.equal(await app.sessions.find(other.session.id), null)
  await open('ada')
  t.equal((await request('DELETE /user/sessions')).status, 204)
  t.strictSame(
    (await app.sessions.list('ada')).map(({ id }) => id),
    [session.id]
  )
  await app.sessions.revokeAll('ada')
  await until(async () => (await request('GET /me')).status === 401)
  t.match((await request('GET /me')).body, '"reason":"revoked"')
})

/** The part of an OpenAPI document that the test reads. */
interface ApiDocument {
  paths: Record<string, Record<string, { responses: object }>>
}

t.test('the schemas document both replies to a login, and the cross-site error', async (t) => {
  const statuses = async (cookie: JwtSessionOptions['cookie']) => {
    const { app } = await startCookieApp(t, {
      options: { cookie },
      before: (app) => app.register(fastifySwagger, { openapi: {} })
    })
    const { paths }: ApiDocument = JSON.parse(JSON.stringify(app.swagger()))
    const has403 = Object.entries(paths).flatMap(([path, operations]) =>
      Object.entries(operations).map(([method, { responses }]) => [`${method} ${path}`, '403' in responses])
    )
    return { text: JSON.stringify(paths['/user/login']), has403: Object.fromEntries(has403) }
  }
  const withCookie = await statuses({})
  t.match(withCookie.text, /"Cookie".*"access_token"/)
  const refusing = ['post /user/login', 'post /user/register', 'post /user/logout', 'delete /user/sessions']
  for (const route of [...refusing, 'delete /user/sessions/{id}']) t.equal(withCookie.has403[route], true, route)
  t.equal(withCookie.has403['get /user/session'], false)
  const without = await statuses(false)
  t.notMatch(without.text, /Cookie/)
  t.notOk(Object.values(without.has403).includes(true))
})
