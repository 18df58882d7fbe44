import { connect } from 'node:http2'
import t from 'tap'
import { verifySession } from '../../lib/index.js'
import { COOKIE, type CookieVisit, cookieLine, startCookieApp } from '../fixtures/cookie-app.js'
import { createFaults } from '../fixtures/faults.js'
import { createLog } from '../fixtures/log.js'

const MISSING = '401 FST_JWT_SESSION_MISSING'
const INVALID = '401 invalid_token'

/** The status, and the reason or the code of an error reply. */
function outcomeOf({ response }: CookieVisit): string {
  const { code = '', reason = code }: Record<string, string> = response.status === 200 ? {} : JSON.parse(response.body)
  return `${response.status} ${reason}`.trim()
}

t.test('the token is read from the session cookie among other cookies', async (t) => {
  const { send, open } = await startCookieApp(t)
  const { token, session } = await open()
  const cookie = `${COOKIE}=${token}`
  const accepted: string[][] = [
    [`Cookie: ${cookie}`],
    [`cookie: ${cookie}`],
    [`Cookie: a=1; ${cookie}`],
    [`Cookie: ${cookie}; a=1`],
    [`Cookie: a=1; ${cookie}; b=2`],
    [`Cookie: a=1;${cookie};b=2`],
    [`Cookie: a=1;  \t ${cookie};`],
    [`Cookie: ;;; ${cookie}`],
    [`Cookie: a; ${cookie}; =b`],
    [`Cookie: a="1; ${cookie}`, 'Accept: */*'],
    [`Cookie: ${COOKIE}x=1; x${COOKIE}=2; ${cookie}`],
    [`Cookie: ${COOKIE.toLowerCase()}=x; ${COOKIE.toUpperCase()}=y; ${cookie}`],
    [`Cookie: ${COOKIE}; ${cookie}`],
    [`Cookie: ${COOKIE} =x; ${cookie}`],
    [`Cookie: x=${COOKIE}=forged; ${cookie}`],
    [`Cookie: x= ${COOKIE}=forged; ${cookie}`],
    [`Cookie: x="${COOKIE}=forged"; ${cookie}`],
    [`Cookie: x=a,${COOKIE}=forged; ${cookie}`],
    [`Cookie: x=\u00e9\u00ff; ${cookie}`],
    ['Cookie: a=1', `Cookie: ${cookie}`],
    [`Cookie: ${cookie}`, 'Cookie: a=1']
  ]
  const faults = createFaults()
  for (const lines of accepted) {
    const visit = await send({ line: 'GET /me', lines })
    faults.compare(lines.join(' | ').replaceAll(token, 'TOKEN'), outcomeOf(visit), '200')
    faults.compare('the user', visit.response.body, JSON.stringify({ user: session.user }))
  }
  faults.assertNone(t)
})

t.test('two session cookies, or no session cookie, count as no token', async (t) => {
  const { send, open } = await startCookieApp(t)
  const { token } = await open()
  const { token: other } = await open()
  const cookie = `${COOKIE}=${token}`
  const missing: string[][] = [
    ['Cookie: '],
    ['Cookie: a=1'],
    [`Cookie: ${COOKIE}`],
    [`Cookie: ${COOKIE}=`],
    [`Cookie: ${COOKIE}=; a=1`],
    [`Cookie: ${COOKIE.toLowerCase()}=${token}`],
    [`Cookie: ${COOKIE.replace('Http-', '')}=${token}`],
    [`Cookie: session=${token}`],
    [`Cookie: ${COOKIE} =${token}`],
    [`Cookie: "${COOKIE}"=${token}`],
    [`Cookie: $Version=1,${cookie}`],
    [`Cookie: x=${cookie}`],
    [`Cookie: x="; y=${cookie}"`],
    [`Cookie: ${encodeURIComponent(`${COOKIE}=`)}${token}`],
    [`Cookie2: ${cookie}`],
    [`Set-Cookie: ${cookie}`],
    [`Cookie: ${cookie}; ${cookie}`],
    [`Cookie: ${cookie}; ${COOKIE}=${other}`],
    [`Cookie: ${cookie}; a=1; ${COOKIE}=x`],
    [`Cookie: ${COOKIE}=; ${cookie}`],
    [`Cookie: ${cookie}; ${COOKIE}=`],
    [`Cookie: ${cookie}`, `Cookie: ${cookie}`],
    [`Cookie: ${COOKIE}=x`, 'Cookie: a=1', `Cookie: ${cookie}`]
  ]
  const faults = createFaults()
  for (const lines of missing) {
    const visit = await send({ line: 'GET /me', lines })
    const { clearSignal, storeCalls, setCookies } = visit
    const expected = { outcome: MISSING, clearSignal: [], storeCalls: [], setCookies: [] }
    const seen = { outcome: outcomeOf(visit), clearSignal, storeCalls, setCookies }
    faults.compare(lines.join(' | ').replaceAll(token, 'TOKEN'), seen, expected)
    faults.compare('optional', outcomeOf(await send({ line: 'GET /optional', lines })), '200')
  }
  faults.assertNone(t)
})

t.test('the value of the cookie must be the bare token', async (t) => {
  const { send, open } = await startCookieApp(t)
  const { token } = await open()
  const faults = createFaults()
  for (const value of [
    ...[`"${token}"`, ` ${token}`, `${token} `, `${token}\t`, `Bearer ${token}`, `${token},${token}`, `=${token}`],
    ...[
      encodeURIComponent(`${token} `),
      token.replace('.', '%2E'),
      `s:${token}`,
      'null',
      'undefined',
      'x',
      '""',
      '\u00ff'
    ]
  ]) {
    const visit = await send({ line: 'GET /me', lines: [`Cookie: ${COOKIE}=${value}; a=1`] })
    const seen = { outcome: outcomeOf(visit), setCookies: visit.setCookies, signals: visit.clearSignal.length }
    faults.compare(value.replaceAll(token, 'TOKEN'), seen, { outcome: INVALID, setCookies: [], signals: 2 })
  }
  faults.assertNone(t)
})

t.test('a bearer token takes precedence over the cookie, and other Authorization headers are ignored', async (t) => {
  const { send, open } = await startCookieApp(t)
  const byCookie = await open('cookie')
  const byBearer = await open('bearer')
  const visit = async (authorization: string, line = byCookie.line) => {
    const visit = await send({ line: 'GET /me', lines: [line, `Authorization: ${authorization}`] })
    return visit.response.status === 200 ? JSON.parse(visit.response.body).user.id : outcomeOf(visit)
  }
  t.equal(await visit(`Bearer ${byBearer.token}`), 'bearer')
  t.equal(await visit(`bearer  ${byBearer.token}`, cookieLine(`${COOKIE}=x`)), 'bearer', 'the cookie is not read')
  for (const bad of ['x', `${byCookie.token}x`, 'Null', '%', `"${byCookie.token}"`]) {
    t.equal(await visit(`Bearer ${bad}`), INVALID, bad)
  }
  for (const none of [
    '',
    'Bearer',
    'Bearer ',
    'Bearer    ',
    'Bearer\t',
    'Bearer null',
    'bearer undefined',
    'BEARER null'
  ]) {
    t.equal(await visit(none), 'cookie', JSON.stringify(none))
  }
  for (const other of [
    'Basic YWRhOng=',
    'Basic',
    'Digest x',
    'DPoP x',
    'Negotiate x',
    'Token x',
    `Bearer:${byBearer.token}`
  ]) {
    t.equal(await visit(other), 'cookie', other)
  }
})

t.test('without the `cookie` option no cookie is read', async (t) => {
  for (const cookie of [false, undefined] as const) {
    const { send, open } = await startCookieApp(t, { options: { cookie } })
    const { line } = await open()
    t.equal(outcomeOf(await send({ line: 'GET /me', lines: [line] })), MISSING)
    const logout = await send({ line: 'POST /user/logout', lines: [line, 'Sec-Fetch-Site: cross-site'] })
    t.match(logout, { response: { status: 204 }, setCookies: [], storeCalls: [] })
  }
})

t.test('the `cookie` option sets the name of the cookie', async (t) => {
  const { send, open } = await startCookieApp(t, { options: { cookie: { name: "__Host-a.b+c$'" } } })
  const { token, line } = await open()
  t.equal(outcomeOf(await send({ line: 'GET /me', lines: [`Cookie: __Host-a.b+c$'=${token}`] })), '200')
  t.equal(outcomeOf(await send({ line: 'GET /me', lines: [`Cookie: __Host-axb+c$'=${token}`] })), MISSING)
  t.equal(outcomeOf(await send({ line: 'GET /me', lines: [line] })), MISSING)
})

t.test('over HTTP/2 the cookie header may be split, and `:authority` is the host of the page', async (t) => {
  const { port, open } = await startCookieApp(t, { server: { http2: true } })
  const { token } = await open('ada')
  const client = connect(`http://127.0.0.1:${port}`)
  t.teardown(() => client.close())
  const statusOf = (method: string, headers: Record<string, string | string[]>) =>
    new Promise((resolve, reject) => {
      const all = { ':method': method, ':path': '/me', ':authority': 'app.example', ...headers }
      const stream = client.request(all).on('error', reject)
      stream.on('response', ({ ':status': status }) => resolve(status)).resume()
    })
  const cookie = `${COOKIE}=${token}`
  t.equal(await statusOf('GET', { cookie }), 200)
  t.equal(await statusOf('GET', { cookie: ['a=1', cookie, 'b=2'] }), 200)
  t.equal(await statusOf('GET', { cookie: [cookie, cookie] }), 401)
  t.equal(await statusOf('POST', { cookie }), 403)
  t.equal(await statusOf('POST', { cookie, origin: 'https://app.example' }), 200)
  t.equal(await statusOf('POST', { cookie, origin: 'https://app.example:443' }), 200)
  t.equal(await statusOf('POST', { cookie, origin: 'https://evil.example' }), 403)
  t.equal(await statusOf('POST', { cookie, origin: 'https://app.example', 'sec-fetch-site': 'same-site' }), 403)
})

t.test('no log line and no error has the cookie', async (t) => {
  const { lines, logger } = createLog()
  const { send, open } = await startCookieApp(t, {
    server: { logger },
    after: (app) => app.get('/fails', { preHandler: verifySession }, async () => Promise.reject(new Error('fails')))
  })
  const { token, line } = await open()
  const wrong = cookieLine(`${COOKIE}=${token}x`)
  const visits = [
    await send({ line: 'GET /me', lines: [line] }),
    await send({ line: 'GET /me', lines: [wrong] }),
    await send({ line: 'POST /me', lines: [line] }),
    await send({ line: 'POST /me', lines: [wrong, 'Sec-Fetch-Site: cross-site'] }),
    await send({ line: 'GET /fails', lines: [line] }),
    await send({ line: 'POST /user/logout', lines: [line, 'Sec-Fetch-Site: none'] })
  ]
  t.strictSame(
    visits.map(({ response: { status } }) => status),
    [200, 401, 403, 403, 500, 204]
  )
  const written = [...lines, ...visits.map(({ response }) => JSON.stringify(response))].join('\n')
  for (const secret of [token, token.split('.')[2] ?? '', 'cookie-of-the-client']) t.notOk(written.includes(secret))
  t.match(written, 'FST_JWT_SESSION_CROSS_SITE')
})
