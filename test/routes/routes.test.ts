import type { LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { createSessionId } from '../../lib/model/session-id.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { createRecordingStore, HEADER, seal } from '../fixtures/tokens.js'
import { startUpstream } from '../fixtures/upstream.js'

const LOGIN = '/user/login'
const TOKEN = /^[\w-]+\.[\w-]+\.[\w-]+$/

/** A token that expired a minute ago. */
function expiredToken(): string {
  const now = Math.floor(Date.now() / 1_000)
  return seal(HEADER, JSON.stringify({ sub: 'ada', jti: createSessionId('ada'), iat: now - 120, exp: now - 60 }))
}

/** Authorization headers without a valid token. */
const DEAD_CREDENTIALS: Record<string, () => string> = {
  garbage: () => 'Bearer garbage',
  'an expired token': () => `Bearer ${expiredToken()}`,
  'a token of another secret': () => `Bearer ${seal(HEADER, '{}', { secret: `${SECRET}!` })}`,
  'another scheme': () => 'Basic YWRhOmhvcHBlcg==',
  'nothing but the scheme': () => 'Bearer ',
  '100 KB of it': () => `Bearer ${'a'.repeat(100_000)}`
}

t.test('the reply to a login has the token, the lifetime and the user, and no other field', async (t) => {
  const userSchema = Type.Object({ id: Type.String(), name: Type.String() })
  const app = await createApp(t, { userSchema, session: { ttlSeconds: 77 } })
  const answer = await app.inject(postJson(LOGIN, CREDENTIALS))
  t.equal(answer.statusCode, 200)
  const { access_token, ...rest } = answer.json()
  t.match(access_token, TOKEN)
  t.strictSame(rest, { token_type: 'Bearer', expires_in: 77, user: { id: 'ada', name: 'Ada' } })
  const { date, connection, 'content-length': length, ...headers } = answer.headers
  t.strictSame(headers, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
})

t.test('the reply to a registration has the user, and no session is opened', async (t) => {
  const store = createRecordingStore(t)
  const app = await createApp(t, { store })
  const token = await logIn(app, 'bob')
  store.calls.length = 0
  const body = { ...CREDENTIALS, email: 'ada@example.org' }
  const answer = await app.inject(withToken(token, postJson('/user/register', body)))
  t.equal(answer.statusCode, 201)
  t.strictSame(answer.json(), { user: { id: 'ada' } })
  const { date, connection, 'content-length': length, ...headers } = answer.headers
  t.strictSame(headers, { 'content-type': 'application/json; charset=utf-8', 'cache-control': 'no-store' })
  t.strictSame(store.calls, [], 'the store is not touched')
  t.equal((await app.inject(withToken(token))).statusCode, 200, 'the session of the request stays live')
})

/** 204, no body, and the clear signal. */
function assertLoggedOut(t: Test, answer: LightMyRequestResponse): void {
  t.equal(answer.statusCode, 204, answer.body)
  t.equal(answer.body, '')
  const { date, connection, ...headers } = answer.headers
  t.strictSame(headers, {
    'cache-control': 'no-store',
    'clear-site-data': '"storage"',
    'session-ended': 'logged_out',
    'access-control-expose-headers': 'Session-Ended'
  })
}

t.test('a logout ends the session of the request, and no other', async (t) => {
  const app = await createApp(t)
  const [token, other] = [await logIn(app), await logIn(app)]
  assertLoggedOut(t, await app.inject(logout(token)))
  t.match((await app.inject(withToken(token))).json(), { code: 'FST_JWT_SESSION_ENDED', reason: 'logged_out' })
  t.equal((await app.inject(withToken(other))).statusCode, 200)
  assertLoggedOut(t, await app.inject(logout(token)))
})

t.test('a logout without a live session is 204', async (t) => {
  const store = createRecordingStore(t)
  const app = await createApp(t, { store })
  assertLoggedOut(t, await app.inject({ method: 'POST', url: '/user/logout' }))
  for (const [name, authorization] of Object.entries(DEAD_CREDENTIALS)) {
    await t.test(name, async (t) => {
      const headers = { authorization: authorization() }
      assertLoggedOut(t, await app.inject({ method: 'POST', url: '/user/logout', headers }))
    })
  }
  const otherCalls = store.calls.filter((call) => !/^end [\w-]{38}$/.test(call))
  t.strictSame(otherCalls, [], 'the store only ends the session of an expired token')
})

t.test('a logout that declares JSON is 204, with or without a body', async (t) => {
  const app = await createApp(t)
  for (const body of ['', '{}', 'null', '{"access_token":"x"}']) {
    const token = await logIn(app)
    assertLoggedOut(t, await app.inject(withToken(token, postJson('/user/logout', body))))
    t.equal((await app.inject(withToken(token))).statusCode, 401)
  }
})

t.test('every login opens a new session', async (t) => {
  const app = await createApp(t)
  const tokens = [await logIn(app), await logIn(app), await logIn(app, 'bob')]
  const answers = await Promise.all(tokens.map((token) => app.inject(withToken(token))))
  t.strictSame(
    answers.map((answer) => answer.json().user.id),
    ['ada', 'ada', 'bob']
  )
  t.equal(new Set(answers.map((answer) => answer.json().id)).size, 3)
  t.equal(new Set(tokens).size, 3)
})

t.test('a login ends the session of the request, also of another user, and no other session', async (t) => {
  const app = await createApp(t)
  for (const username of ['ada', 'bob']) {
    const [previous, other] = [await logIn(app), await logIn(app)]
    const token = await logIn(app, username, { authorization: `Bearer ${previous}` })
    t.match((await app.inject(withToken(previous))).json(), { statusCode: 401, reason: 'logged_in_again' })
    t.equal((await app.inject(withToken(other))).statusCode, 200)
    t.equal((await app.inject(withToken(token))).json().user.id, username)
    t.notMatch(token, previous)
  }
})

t.test('an Authorization header without a valid token does not fail a login', async (t) => {
  const app = await createApp(t)
  for (const [name, authorization] of Object.entries(DEAD_CREDENTIALS)) {
    await t.test(name, async (t) => {
      const token = await logIn(app, 'ada', { authorization: authorization() })
      t.equal((await app.inject(withToken(token))).statusCode, 200)
    })
  }
})

t.test('a refused login does not end the session of the request', async (t) => {
  const upstream = await startUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const token = await logIn(app)
  const rejected = await app.inject(withToken(token, postJson(LOGIN, { ...CREDENTIALS, password: 'wrong' })))
  assertRefused(t, rejected, { statusCode: 401, code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' })
  assertRefused(t, await app.inject(withToken(token, postJson(LOGIN, '{}'))), { statusCode: 400 })
  const noUser = await app.inject(withToken(token, postJson(LOGIN, { ...CREDENTIALS, username: '\ud800' })))
  assertRefused(t, noUser, { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' })
  t.equal((await app.inject(withToken(token))).statusCode, 200)
})

t.test('credentials and tokens in a URL are neither read nor forwarded', async (t) => {
  const upstream = await startUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const token = await logIn(app)
  const query = `?username=ada&password=${encodeURIComponent(CREDENTIALS.password)}`
  upstream.requests.length = 0
  for (const request of [{ method: 'POST', url: LOGIN + query } as const, postJson(LOGIN + query, '{}')]) {
    assertRefused(t, await app.inject(request), { statusCode: 400, code: 'FST_ERR_VALIDATION' })
  }
  t.strictSame(upstream.requests, [])

  const answer = await app.inject(postJson(`${LOGIN}?x=1&${token}`, CREDENTIALS))
  t.equal(answer.statusCode, 200)
  t.notOk(answer.headers.location)
  t.match(upstream.requests, [{ path: LOGIN }], 'the query is not forwarded')

  for (const name of ['access_token', 'token', 'jwt', 'authorization', 'Authorization']) {
    const headers = { cookie: `${name}=${token}`, [`x-${name.toLowerCase()}`]: token }
    const guarded = await app.inject({ url: `/me?${name}=${token}`, headers })
    assertRefused(t, guarded, { statusCode: 401, code: 'FST_JWT_SESSION_MISSING' })
    await app.inject({ method: 'POST', url: `/user/logout?${name}=${token}`, headers })
  }
  t.equal((await app.inject(withToken(token))).statusCode, 200, 'a logout reads no token from a URL')
})

t.test('the Clear-Site-Data header is the value of the `clearSiteData` option', async (t) => {
  for (const [clearSiteData, expected] of [
    [['cache', 'cookies', 'storage'], '"cache", "cookies", "storage"'],
    [['*'], '"*"'],
    [false, undefined]
  ] as const) {
    const app = await createApp(t, { clearSiteData })
    for (const answer of [await app.inject(logout(await logIn(app))), await app.inject(withToken('x'.repeat(100)))]) {
      t.equal(answer.headers['clear-site-data'], expected)
      t.match(answer.headers, { 'session-ended': String, 'access-control-expose-headers': 'Session-Ended' })
    }
  }
})
