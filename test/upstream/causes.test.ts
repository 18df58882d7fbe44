import t from 'tap'
import { Type } from 'typebox'
import { CredentialsRejectedError, type UpstreamClient } from '../../lib/index.js'
import { createApp, logIn, logout } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { type RawAnswer, response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { until } from '../fixtures/until.js'

const CANARY = 'upstream-only'
const QUERY = 'key=a-key-of-the-query'

/** Takes all lines out of the log, and returns the causes in the lines. */
function takeCauses(lines: string[]): unknown[] {
  return lines
    .splice(0)
    .map((line) => JSON.parse(line))
    .filter(({ cause }) => cause !== undefined)
    .map(({ cause }) => cause)
}

const ANSWERS: [answer: RawAnswer, cause: string][] = [
  ...[404, 405, 418, 500, 503, 429].map((status): [RawAnswer, string] => [
    response(status, CANARY, [`x-a: ${CANARY}`]),
    `the upstream answered ${status}`
  ]),
  ...[301, 302, 307].map((status): [RawAnswer, string] => [
    response(status, CANARY, [`location: /${CANARY}`]),
    `the upstream answered ${status}, and redirects are not followed`
  ]),
  [(socket) => socket.destroy(), 'the request to the upstream failed: UND_ERR_SOCKET'],
  [(socket) => socket.resetAndDestroy(), 'the request to the upstream failed: ECONNRESET'],
  [`${CANARY}\r\n\r\n`, 'the request to the upstream failed: HTTPParserError']
]

/** Unusable bodies for a login. A registration needs no body. */
const BODIES: [answer: RawAnswer, cause: string][] = [
  [response(200, CANARY), 'the response is not JSON'],
  [response(200, Buffer.from([0x22, 0xff, 0x22])), 'the response is not JSON'],
  [response(200, ''), 'the response is empty'],
  [response(204), 'the response is empty'],
  [response(200, `"${CANARY}"`.padEnd(2_000)), 'the response is larger than `upstream.maxResponseBytes`'],
  [(socket) => socket.end('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{'), 'the response was cut off: UND_ERR_SOCKET'],
  [response(200, 'null'), '`selectUser` threw TypeError']
]

t.test('the log has the operation and the status of the upstream, and no text of the upstream', async (t) => {
  const upstream = await startRawUpstream(t)
  const { lines, logger } = createLog()
  const paths = { loginPath: `/in?${QUERY}`, registerPath: `/up?${QUERY}`, logoutPath: `/out?${QUERY}` }
  const app = await createApp(
    t,
    { upstream: { baseUrl: upstream.baseUrl, maxResponseBytes: 1_000, timeoutMs: 5_000, ...paths } },
    { logger }
  )
  const all: string[] = []
  for (const route of ['login', 'register'] as const) {
    for (const [answer, cause] of [...ANSWERS, ...BODIES]) {
      upstream.answers.push(answer)
      const { statusCode, body } = await app.inject(postJson(`/user/${route}`, CREDENTIALS))
      t.notMatch(body, /upstream answered|not JSON|selectUser/, 'the reply has no cause')
      all.push(...lines)
      const isLogged = statusCode !== 201 || !cause.endsWith('is empty')
      t.strictSame(takeCauses(lines), isLogged ? [`${route}: ${cause}`] : [], `${route}: ${cause}`)
    }
  }
  for (const [answer, cause] of ANSWERS) {
    const token = await logIn(app)
    takeCauses(lines)
    upstream.answers.push(answer)
    t.equal((await app.inject(logout(token))).statusCode, 204)
    all.push(...lines)
    t.strictSame(takeCauses(lines), [`logout: ${cause}`])
  }
  const host = upstream.baseUrl.slice('http://'.length)
  for (const leak of [CANARY, QUERY, '/in', '/up', '/out', host, CREDENTIALS.password]) {
    t.strictSame(
      all.filter((line) => line.includes(leak)),
      [],
      `${leak} is not in the log`
    )
  }
})

t.test('the log has the cause when the upstream is unreachable or times out', async (t) => {
  const upstream = await startRawUpstream(t)
  const { lines, logger } = createLog()
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 1_000 } }, { logger })
  upstream.answers.push(() => {})
  await app.inject(postJson('/user/login', CREDENTIALS))
  t.strictSame(takeCauses(lines), ['login: the upstream did not answer in time'])
  await upstream.stop()
  await app.inject(postJson('/user/login', CREDENTIALS))
  t.strictSame(takeCauses(lines), ['login: the request to the upstream failed: ECONNREFUSED'])
})

t.test('the log has the operation and the error class of a failed UpstreamClient', async (t) => {
  let thrown: unknown
  const fail = async () => Promise.reject(thrown)
  const upstream: UpstreamClient = { login: fail, register: fail }
  const { lines, logger } = createLog()
  const app = await createApp(t, { upstream }, { logger })
  for (const [error, cause] of [
    [new TypeError(CANARY), 'TypeError'],
    [Object.assign(new Error(CANARY), { code: 'ECONNREFUSED' }), 'ECONNREFUSED'],
    [CANARY, 'Error']
  ] as const) {
    thrown = error
    for (const route of ['login', 'register']) {
      await app.inject(postJson(`/user/${route}`, CREDENTIALS))
      t.strictSame(takeCauses(lines), [`${route}: ${cause}`])
    }
  }
  thrown = new CredentialsRejectedError(new Error(CANARY))
  await app.inject(postJson('/user/login', CREDENTIALS))
  t.strictSame(takeCauses(lines), ['Error'])
})

t.test('a response whose body is not needed leaves the connection open', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, {
    upstream: { baseUrl: upstream.baseUrl },
    routes: { login: { schema: Type.Object({ username: Type.String() }) } }
  })
  upstream.answers.push(response(401, CANARY, ['keep-alive: timeout=60']))
  await app.inject(postJson('/user/login', { username: 'ada' }))
  await until(async () => (await app.inject(postJson('/user/login', { username: 'ada' }))).statusCode === 200)
  t.equal(new Set(upstream.requests.map(({ socket }) => socket)).size, 1)
})
