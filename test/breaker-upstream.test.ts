import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { CredentialsRejectedError, type UpstreamClient } from '../lib/index.js'
import { createApp, withToken } from './fixtures/app.js'
import { httpPost, listen } from './fixtures/listen.js'
import { CREDENTIALS, postJson } from './fixtures/post-json.js'
import { startRawUpstream } from './fixtures/raw-upstream.js'
import { until } from './fixtures/until.js'

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

t.test('an upstream that refuses connections is not asked for a while, and then by one', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, {
    upstream: { baseUrl: upstream.baseUrl },
    breaker: { upstream: { probeAfterMs: 1_000 } }
  })
  await upstream.stop()
  for (let i = 0; i < 5; i++) t.equal((await logIn(app)).status, 502)
  t.match((await logIn(app)).body, UNAVAILABLE)
  t.equal((await app.inject(postJson('/user/register', CREDENTIALS))).statusCode, 503, 'nor for a registration')
  await until(async () => (await logIn(app)).status === 502)
  t.equal((await logIn(app)).status, 503, 'one has asked in vain')
  await upstream.start()
  await until(async () => (await logIn(app)).status === 200)
  t.ok((await logInAll(app, 10)).every(({ status }) => status === 200))
})

t.test('an upstream that hangs is answered 503 at once after a few timeouts', async (t) => {
  const upstream = await startRawUpstream(t)
  const breaker = { upstream: { probeAfterMs: 1_000 } }
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 300 }, breaker })
  upstream.answers.push(...Array.from({ length: 5 }, () => nothing))
  t.ok((await logInAll(app, 5)).every(({ status }) => status === 504))
  t.ok((await logInAll(app, 20)).every(({ body }) => body.code === UNAVAILABLE.code))
  t.equal(upstream.requests.length, 5, 'it was not asked')
  await until(async () => (await logIn(app)).status === 200)
})

t.test('an upstream that says no, or nonsense, has answered', async (t) => {
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

t.test('clients that hang up say nothing about the upstream', async (t) => {
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
    // undici opens another connection in the place of the one that it has cut; nothing is asked over it.
    await until(() => upstream.requests[i - 1]?.socket.destroyed === true)
  }
  t.equal((await logIn(app)).status, 200)
})

t.test('when one of them was to find out whether the upstream is back, the next one waits as long again', async (t) => {
  const upstream = await startRawUpstream(t)
  const options = { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 300 } }
  const app = await createApp(t, { ...options, breaker: { upstream: { failures: 1, probeAfterMs: 500 } } })
  const { dial } = await listen(t, app)
  upstream.answers.push(nothing, nothing)
  t.equal((await logIn(app)).status, 504)
  await delay(500)
  const { socket } = dial()
  const body = JSON.stringify(CREDENTIALS)
  socket.write(httpPost('/user/login', ['Content-Type: application/json', `Content-Length: ${body.length}`], body))
  await until(() => upstream.requests.length === 2)
  socket.destroy()
  await until(() => upstream.requests[1]?.socket.destroyed === true)
  t.equal((await logIn(app)).status, 503)
  await until(async () => (await logIn(app)).status === 200)
})

t.test('beyond maxInFlight logins are answered 503 at once, and sessions are verified as ever', async (t) => {
  const upstream = await startRawUpstream(t)
  const options = {
    upstream: { baseUrl: upstream.baseUrl, timeoutMs: 2_000 },
    breaker: { upstream: { maxInFlight: 20 } }
  }
  const app = await createApp(t, options)
  const { token } = await app.sessions.create({ id: 'ada' })
  upstream.answers.push(...Array.from({ length: 20 }, () => nothing))
  const hanging = logInAll(app, 20)
  await until(() => upstream.requests.length === 20)
  t.match(await logIn(app), { status: 503, body: UNAVAILABLE })
  const startedAt = performance.now()
  for (let i = 0; i < 100; i++) t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.ok(performance.now() - startedAt < 2_000)
  await upstream.stop()
  t.ok((await hanging).every(({ status }) => status === 502))
})

t.test('a client of the user is guarded too, whatever it throws', async (t) => {
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

t.test('one of them that is never answered keeps the others from asking for a minute, and no longer', async (t) => {
  let asked = 0
  const upstream: UpstreamClient = {
    async login() {
      asked++
      if (asked === 1) throw Object.assign(new Error('connect'), { code: 'ECONNREFUSED' })
      if (asked === 2) await new Promise(nothing)
      return { id: 'ada' }
    },
    register: async () => {}
  }
  const { now } = performance
  let laterMs = 0
  t.intercept(performance, 'now', { value: () => now.call(performance) + laterMs })
  const app = await createApp(t, { upstream, breaker: { upstream: { failures: 1, probeAfterMs: 1 } } })
  t.equal((await logIn(app)).status, 502)
  laterMs = 10
  void logIn(app).catch(nothing)
  await until(() => asked === 2)
  for (laterMs of [20, 50_000]) t.match(await logIn(app), { status: 503, body: UNAVAILABLE })
  laterMs = 61_000
  t.equal((await logIn(app)).status, 200)
  t.equal(asked, 3)
})
