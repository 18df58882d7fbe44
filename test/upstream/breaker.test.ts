import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { CredentialsRejectedError, type UpstreamClient, UpstreamInvalidError } from '../../lib/index.js'
import { createApp, logout, withToken } from '../fixtures/app.js'
import { httpPost, listen } from '../fixtures/listen.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startRawUpstream } from '../fixtures/raw-upstream.js'
import { until } from '../fixtures/until.js'

const LOGIN = postJson('/user/login', CREDENTIALS)
const UNAVAILABLE = { statusCode: 503, code: 'FST_JWT_SESSION_UPSTREAM_UNAVAILABLE' }
const nothing = () => {}

async function logIn(app: FastifyInstance) {
  const answer = await app.inject(LOGIN)
  return { status: answer.statusCode, body: answer.json() }
}

function logInAll(app: FastifyInstance, times: number) {
  return Promise.all(Array.from({ length: times }, () => logIn(app)))
}

t.test('refused connections open the circuit, and one probe at a time is let through', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, {
    upstream: { baseUrl: upstream.baseUrl },
    breaker: { upstream: { probeAfterMs: 1_000 } }
  })
  await upstream.stop()
  for (let i = 0; i < 5; i++) t.equal((await logIn(app)).status, 502)
  t.match((await logIn(app)).body, UNAVAILABLE)
  t.equal(
    (await app.inject(postJson('/user/register', CREDENTIALS))).statusCode,
    503,
    'registrations share the circuit'
  )
  await until(async () => (await logIn(app)).status === 502)
  t.equal((await logIn(app)).status, 503, 'a failed probe keeps the circuit open')
  await upstream.start()
  await until(async () => (await logIn(app)).status === 200)
  t.ok((await logInAll(app, 10)).every(({ status }) => status === 200))
})

t.test('timeouts open the circuit, and logins are answered 503 at once', async (t) => {
  const upstream = await startRawUpstream(t)
  const breaker = { upstream: { probeAfterMs: 1_000 } }
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 1_000 }, breaker })
  upstream.answers.push(...Array.from({ length: 5 }, () => nothing))
  t.ok((await logInAll(app, 5)).every(({ status }) => status === 504))
  t.ok((await logInAll(app, 20)).every(({ body }) => body.code === UNAVAILABLE.code))
  t.equal(upstream.requests.length, 5, 'the upstream was not called')
  await until(async () => (await logIn(app)).status === 200)
})

t.test('error responses of the upstream do not open the circuit', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const answers = {
    401: 'HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n',
    502: 'HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n',
    503: 'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n'
  }
  for (const [status, answer] of Object.entries(answers)) {
    upstream.answers.push(...Array.from({ length: 20 }, () => answer))
    for (let i = 0; i < 20; i++) t.equal((await logIn(app)).status, Number(status))
  }
  upstream.answers.push(...Array.from({ length: 20 }, () => 'HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nhi!'))
  for (let i = 0; i < 20; i++) t.equal((await logIn(app)).status, 502)
  t.equal((await logIn(app)).status, 200)
})

t.test('clients that hang up do not open the circuit', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const { dial } = await listen(t, app)
  const body = JSON.stringify(CREDENTIALS)
  const headers = ['Content-Type: application/json', `Content-Length: ${body.length}`]
  upstream.answers.push(...Array.from({ length: 10 }, () => nothing))
  for (let i = 1; i <= 10; i++) {
    const { socket } = dial()
    socket.write(httpPost('/user/login', headers, body))
    await until(() => upstream.requests.length === i)
    socket.destroy()
    // undici replaces the closed connection; the new connection gets no request.
    await until(() => upstream.requests[i - 1]?.socket.destroyed === true)
  }
  t.equal((await logIn(app)).status, 200)
})

t.test('after a probe whose client hangs up the next login is a probe at once', async (t) => {
  const upstream = await startRawUpstream(t)
  // Only an abandoned probe lets the next login through.
  const breaker = { upstream: { failures: 1, probeAfterMs: 2_000 } }
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 1_000 }, breaker })
  const { dial } = await listen(t, app)
  const body = JSON.stringify(CREDENTIALS)
  const head = ['Content-Type: application/json', `Content-Length: ${body.length}`]
  upstream.answers.push(nothing, nothing, nothing)
  t.equal((await logIn(app)).status, 504)
  t.equal((await logIn(app)).status, 503)
  const { now } = performance
  t.intercept(performance, 'now', { value: () => now.call(performance) + 2_000 })
  for (const count of [2, 3]) {
    const { socket } = dial()
    socket.write(httpPost('/user/login', head, body))
    await until(() => upstream.requests.length === count)
    t.equal((await logIn(app)).status, 503, 'one probe at a time')
    socket.destroy()
    await until(() => upstream.requests[count - 1]?.socket.destroyed === true)
  }
  t.equal((await logIn(app)).status, 200)
})

t.test('a failed mapCredentials is neither a failure nor a response of the upstream', async (t) => {
  const upstream = await startRawUpstream(t)
  const mapCredentials = (body: { username: string }) => {
    if (body.username === 'throw') throw new TypeError('no')
    if (body.username === 'reject') throw new CredentialsRejectedError()
    return body
  }
  const breaker = { upstream: { failures: 2, probeAfterMs: 60_000 } }
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, mapCredentials }, breaker })
  const statusOf = async (username: string) =>
    (await app.inject(postJson('/user/login', { username, password: 'x' }))).statusCode
  await upstream.stop()
  t.equal(await statusOf('ada'), 502)
  t.strictSame([await statusOf('throw'), await statusOf('reject')], [502, 401])
  t.equal(await statusOf('ada'), 502)
  t.equal(await statusOf('ada'), 503, 'the two failures are consecutive')
})

t.test('logouts have a circuit of their own, apart from logins and registrations', async (t) => {
  const hung: string[] = []
  const hangIf = async (name: string) => {
    if (hung.includes(name)) await new Promise(nothing)
    return { user: { id: 'ada' } }
  }
  const notified: string[] = []
  const upstream: UpstreamClient = {
    timeoutMs: 50,
    login: () => hangIf('login'),
    register: () => hangIf('register'),
    async logout({ id }) {
      notified.push(id)
      await hangIf('logout')
    }
  }
  const { lines, logger } = createLog()
  const breaker = { upstream: { failures: 2, probeAfterMs: 60_000 } }
  const app = await createApp(t, { upstream, breaker }, { logger })
  await listen(t, app)
  const tokenOf = async () => (await logIn(app)).body.access_token
  const tokens = await Promise.all(Array.from({ length: 5 }, tokenOf))
  hung.push('logout')
  for (const token of tokens.slice(0, 4)) t.equal((await app.inject(logout(token))).statusCode, 204)
  t.equal(notified.length, 2, 'with the circuit open the upstream is not notified')
  t.equal(lines.filter((line) => line.includes('The upstream does not respond to logouts')).length, 1)
  t.equal(lines.filter((line) => line.includes('requests that need the upstream are answered 503')).length, 0)
  t.equal((await logIn(app)).status, 200)
  t.equal((await app.inject(postJson('/user/register', CREDENTIALS))).statusCode, 201)

  hung.splice(0, 1, 'login', 'register')
  const other = await createApp(t, { upstream, breaker })
  await listen(t, other)
  const { token } = await other.sessions.create({ id: 'ada' })
  t.equal((await logIn(other)).status, 504)
  t.equal((await other.inject(postJson('/user/register', CREDENTIALS))).statusCode, 504)
  t.equal((await logIn(other)).status, 503, 'logins and registrations share a circuit')
  t.equal((await other.inject(logout(token))).statusCode, 204)
  t.equal(notified.length, 3)
})

t.test('a logout endpoint that responds again is notified again', async (t) => {
  let isDown = true
  let notified = 0
  const upstream: UpstreamClient = {
    login: async () => ({ user: { id: 'ada' } }),
    async logout() {
      notified++
      if (isDown) throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
    }
  }
  const { lines, logger } = createLog()
  const app = await createApp(t, { upstream, breaker: { upstream: { failures: 1, probeAfterMs: 1 } } }, { logger })
  const logOut = async () => app.inject(logout((await app.sessions.create({ id: 'ada' })).token))
  await logOut()
  isDown = false
  await until(async () => (await logOut()) && notified > 1)
  t.equal(lines.filter((line) => line.includes('The upstream responds to logouts again')).length, 1)
})

t.test('logins over maxInFlight are answered 503 at once, and sessions are still verified', async (t) => {
  const upstream = await startRawUpstream(t)
  const options = {
    upstream: { baseUrl: upstream.baseUrl, timeoutMs: 60_000 },
    breaker: { upstream: { maxInFlight: 20 } }
  }
  const app = await createApp(t, options)
  const { token } = await app.sessions.create({ id: 'ada' })
  upstream.answers.push(...Array.from({ length: 20 }, () => nothing))
  const hanging = logInAll(app, 20)
  await until(() => upstream.requests.length === 20)
  t.match(await logIn(app), { status: 503, body: UNAVAILABLE })
  for (let i = 0; i < 100; i++) t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.equal(await Promise.race([hanging, 'pending']), 'pending', 'no request has waited for the logins')
  await upstream.stop()
  t.ok((await hanging).every(({ status }) => status === 502))
})

t.test('an UpstreamInvalidError caused by a refused connection opens the circuit', async (t) => {
  const { code, message } = { code: 'ECONNREFUSED', message: 'connect' }
  let calls = 0
  const login = async () => {
    calls++
    throw new UpstreamInvalidError(Object.assign(new Error(message), { code }))
  }
  const app = await createApp(t, { upstream: { login }, breaker: { upstream: { failures: 2, probeAfterMs: 60_000 } } })
  const statuses = []
  for (let i = 0; i < 4; i++) statuses.push((await logIn(app)).status)
  t.strictSame(statuses, [502, 502, 503, 503])
  t.equal(calls, 2)
})

t.test('connection errors of an UpstreamClient open the circuit, and a rejection closes the circuit', async (t) => {
  let error: Error = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
  const fail = async () => Promise.reject(error)
  const upstream: UpstreamClient = { login: fail, register: fail, logout: fail }
  const app = await createApp(t, { upstream, breaker: { upstream: { failures: 2, probeAfterMs: 1 } } })
  const codes = async () => (await logIn(app)).body.code
  t.equal(await codes(), 'FST_JWT_SESSION_UPSTREAM_INVALID')
  t.equal(await codes(), 'FST_JWT_SESSION_UPSTREAM_INVALID')
  error = new CredentialsRejectedError()
  await until(async () => (await codes()) === 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
  for (let i = 0; i < 10; i++) t.equal(await codes(), 'FST_JWT_SESSION_CREDENTIALS_REJECTED')
})

t.test('a probe that never settles holds up the next probe for a minute, and no longer', async (t) => {
  let calls = 0
  const upstream: UpstreamClient = {
    async login() {
      calls++
      if (calls === 1) throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
      if (calls === 2) await new Promise(nothing)
      return { user: { id: 'ada' } }
    },
    register: async () => ({ user: {} })
  }
  const { now } = performance
  let laterMs = 0
  t.intercept(performance, 'now', { value: () => now.call(performance) + laterMs })
  const app = await createApp(t, { upstream, breaker: { upstream: { failures: 1, probeAfterMs: 1 } } })
  t.equal((await logIn(app)).status, 502)
  laterMs = 10
  void logIn(app).catch(nothing)
  await until(() => calls === 2)
  for (laterMs of [20, 50_000]) t.match(await logIn(app), { status: 503, body: UNAVAILABLE })
  laterMs = 61_000
  t.equal((await logIn(app)).status, 200)
  t.equal(calls, 3)
})
