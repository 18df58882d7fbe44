import type { IncomingMessage, ServerResponse } from 'node:http'
import { text } from 'node:stream/consumers'
import t from 'tap'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { runRecipe, sendWith } from '../fixtures/recipes.js'

/** An upstream that responds with the result of `answer`. */
function answering(answer: (body: string, path: string) => { status: number; body: unknown }) {
  return async (request: IncomingMessage, response: ServerResponse) => {
    const { status, body } = answer(await text(request), request.url ?? '')
    response.writeHead(status, { 'content-type': 'application/json' })
    response.end(JSON.stringify(body))
  }
}

t.test('a rate limit on the login counts the guesses of one address for one account', async (t) => {
  const { app, upstream } = await runRecipe(t, 'A rate limit on the login')
  const guess = (username: string, remoteAddress = '10.0.0.1') =>
    app.inject({ ...postJson('/user/login', { username, password: 'a guess' }), remoteAddress })
  for (let i = 0; i < 5; i++) t.equal((await guess(i % 2 ? 'ada' : 'Ada')).statusCode, 401)
  t.equal((await guess('ada')).statusCode, 429)
  t.equal(upstream.requests.length, 5, 'the upstream does not see the next guess')
  t.equal((await guess('ada', '10.0.0.2')).statusCode, 401, 'another address is not limited')
  t.equal((await guess('grace')).statusCode, 401, 'another account at the same address is not limited')
})

t.test('an error of the app requests a second factor', async (t) => {
  const listener = answering((body) => {
    const { password, otp } = JSON.parse(body)
    if (password !== CREDENTIALS.password) return { status: 401, body: { code: 'wrong' } }
    if (otp === undefined) return { status: 401, body: { code: 'otp_required' } }
    return otp === '123456' ? { status: 200, body: { user: { id: 'ada' } } } : { status: 401, body: { code: 'wrong' } }
  })
  const { app } = await runRecipe(t, 'A second factor', { listener })
  const logIn = (more: object) => app.inject(postJson('/user/login', { ...CREDENTIALS, ...more }))
  t.match((await logIn({})).json(), { statusCode: 401, code: 'APP_SECOND_FACTOR_NEEDED' })
  t.equal((await logIn({ password: 'wrong' })).json().code, 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
  t.equal((await logIn({ otp: '654321' })).json().code, 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
  t.equal((await logIn({ otp: 'x' })).statusCode, 400)
  t.equal((await logIn({ otp: '123456' })).statusCode, 200)
})

t.test('an upstream gets the credentials as a form', async (t) => {
  const seen: unknown[] = []
  const listener = answering((body, path) => {
    seen.push({ path, ...Object.fromEntries(new URLSearchParams(body)) })
    return { status: 200, body: { access_token: 'of the upstream', user_id: 'ada' } }
  })
  const { app } = await runRecipe(t, 'An upstream that takes a form', { listener })
  const login = await app.inject(postJson('/user/login', CREDENTIALS))
  t.strictSame(login.json().user, { id: 'ada' })
  t.strictSame(seen, [{ path: '/oauth/token', grant_type: 'password', ...CREDENTIALS }])
})

t.test('the reply to a refused registration has the reason', async (t) => {
  const listener = answering((body) => {
    const { username, password } = JSON.parse(body)
    if (password.length < 8) return { status: 400, body: { error: 'WEAK_PASSWORD', hint: 'internal' } }
    return username === 'ada' ? { status: 400, body: { error: 'EMAIL_EXISTS' } } : { status: 400, body: 'other' }
  })
  const { app } = await runRecipe(t, 'Why a registration was refused', { listener })
  const register = async (change: object) =>
    (await app.inject(postJson('/user/register', { ...CREDENTIALS, ...change }))).json()
  t.match(await register({}), { statusCode: 409, details: { email: 'taken' } })
  t.match(await register({ password: 'short' }), { statusCode: 422, details: { password: 'too short' } })
  const other = await register({ username: 'grace' })
  t.equal(other.statusCode, 400)
  t.equal(other.details, undefined)
})

t.test('a magic link opens one session', async (t) => {
  const { app } = await runRecipe(t, 'A magic link')
  const printed = t.capture(console, 'log')
  t.equal((await app.inject(postJson('/magic-link', { email: 'ada@example.com' }))).statusCode, 202)
  const [code] = /[\w-]{43}/.exec(String(printed()[0]?.args[0])) ?? []
  const follow = (code = '') => app.inject(postJson('/magic-login', { code }))
  const login = await follow(code)
  t.match(login.json(), { token_type: 'Bearer', expires_in: 43_200, user: { id: 'ada@example.com' } })
  const session = await sendWith(app, login.json().access_token)({ url: '/user/session' })
  t.equal(session.statusCode, 200)
  for (const used of [code, 'x']) t.equal((await follow(used)).json().code, 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
})

t.test('a user who wants to be remembered has a longer session', async (t) => {
  const { app } = await runRecipe(t, 'Remember me')
  const logIn = async (more: object) =>
    (await app.inject(postJson('/login', { username: 'ada', password: 'lovelace', ...more }))).json()
  t.equal((await logIn({ remember: true })).expires_in, 30 * 86_400)
  t.equal((await logIn({})).expires_in, 43_200)
  t.equal((await logIn({ password: 'wrong' })).code, 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
})
