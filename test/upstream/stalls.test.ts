import { performance } from 'node:perf_hooks'
import { Worker } from 'node:worker_threads'
import t, { type Test } from 'tap'
import { createApp } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { listen } from '../fixtures/listen.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { type RawAnswer, type RawRequest, response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { drip, endlessly } from '../fixtures/tcp-answers.js'
import { until } from '../fixtures/until.js'

const TIMEOUT_MS = 1_000
const TIMEOUT = { statusCode: 504, code: 'FST_JWT_SESSION_UPSTREAM_TIMEOUT' }
const REJECTED = { statusCode: 401, code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' }
const LOGIN = postJson('/user/login', CREDENTIALS)

const HEAD = 'HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n'
const USER = '{"user":{"id":"eve"}}'
const EARLY = 'HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n'

const nothing = () => {}

const STALLS: Record<string, RawAnswer> = {
  'never answers': nothing,
  'stops within the headers': HEAD,
  'stops before the body': `${HEAD}content-length: 21\r\n\r\n`,
  'stops within the body': `${HEAD}content-length: 21\r\n\r\n{"user":`,
  'never ends the body': `${HEAD}transfer-encoding: chunked\r\n\r\n15\r\n${USER}\r\n`,
  'sends less than Content-Length': `${HEAD}content-length: 99999999999\r\n\r\n${USER}`,
  'drips a status line': drip(...HEAD),
  'drips headers': drip('HTTP/1.1 200 OK\r\n', 'x-a: b\r\n'),
  'drips a body': drip(`${HEAD}content-length: 21\r\n\r\n`, ...USER.slice(0, -1), ''),
  'drips white space': drip(`${HEAD}transfer-encoding: chunked\r\n\r\n15\r\n${USER}\r\n`, '1\r\n \r\n'),
  'drips interim answers': drip(EARLY)
}

const FLOODS: Record<string, RawAnswer> = {
  'interim answers': endlessly('', EARLY.repeat(50)),
  'a chunk extension': endlessly(`${HEAD}transfer-encoding: chunked\r\n\r\n1;`, 'x'.repeat(5_000))
}

async function assertTimeout(t: Test, stall: RawAnswer): Promise<void> {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: TIMEOUT_MS } })
  await app.inject(LOGIN)
  upstream.answers.push(stall)
  const start = performance.now()
  const answer = await app.inject(LOGIN)
  const elapsedMs = performance.now() - start
  assertRefused(t, answer, TIMEOUT, ['eve'])
  // Timers may fire a millisecond early.
  t.ok(elapsedMs >= TIMEOUT_MS - 5 && elapsedMs < TIMEOUT_MS + 10_000, `answered after ${Math.round(elapsedMs)} ms`)
  t.equal(upstream.requests.length, 2, 'the credentials were sent once')
  const { socket } = upstream.requests.at(-1) as RawRequest
  await until(() => !upstream.sockets.has(socket))
  t.strictSame((await app.inject(LOGIN)).json().user, { id: 'ada' }, 'the next login works')
}

t.test('an upstream that stalls is 504 at the deadline', async (t) => {
  t.jobs = 6
  for (const [name, stall] of Object.entries(STALLS)) {
    t.test(name, { buffered: true, timeout: 120_000 }, (t) => assertTimeout(t, stall))
  }
})

t.test('an upstream that sends headers without end is 504 at the deadline', async (t) => {
  for (const [name, flood] of Object.entries(FLOODS)) await t.test(name, (t) => assertTimeout(t, flood))
})

t.test('a TLS handshake without a response is 504', async (t) => {
  const upstream = await startRawUpstream(t)
  const baseUrl = upstream.baseUrl.replace('http:', 'https:')
  const app = await createApp(t, { upstream: { baseUrl, timeoutMs: TIMEOUT_MS } })
  assertRefused(t, await app.inject(LOGIN), TIMEOUT)
  t.equal(upstream.requests.length, 0)
})

t.test('a host that never accepts connections is 504, and does not delay close()', async (t) => {
  const { port, stop } = await startDeafHost()
  t.teardown(stop)
  const app = await createApp(t, { upstream: { baseUrl: `http://127.0.0.1:${port}`, timeoutMs: TIMEOUT_MS } })
  // More connections than the kernel accepts for the process.
  const answers = await Promise.all(Array.from({ length: 8 }, () => app.inject(LOGIN)))
  for (const answer of answers) assertRefused(t, answer, TIMEOUT)
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start < 10_000)
})

/** Logs in over TCP. inject() would drop the rest of the upstream's response after the reply. */
async function startOverTcp(t: Test, timeoutMs: number) {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs } })
  const { origin } = await listen(t, app)
  const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(CREDENTIALS) }
  return {
    app,
    upstream,
    async logIn() {
      const answer = await fetch(`${origin}/user/login`, init)
      return { status: answer.status, body: await answer.json() }
    }
  }
}

const tooMuch: Record<string, RawAnswer> = {
  'is larger than the limit': response(401, ' '.repeat(100_000)),
  'announces a larger body': 'HTTP/1.1 401 No\r\ncontent-length: 9999999\r\n\r\nx',
  'never ends': endlessly('HTTP/1.1 401 No\r\n\r\n', ' '.repeat(1_000)),
  'is reset': (socket) => socket.write('HTTP/1.1 401 No\r\ncontent-length: 21\r\n\r\n', () => socket.resetAndDestroy())
}
const tooLittle: Record<string, RawAnswer> = {
  'never comes': 'HTTP/1.1 401 No\r\ncontent-length: 21\r\n\r\n',
  drips: drip('HTTP/1.1 401 No\r\ntransfer-encoding: chunked\r\n\r\n', '1\r\n \r\n')
}

t.test('a rejection is answered before the body is complete, and the connection is closed', async (t) => {
  for (const [name, rejection] of Object.entries({ ...tooMuch, ...tooLittle })) {
    await t.test(`the body of the rejection ${name}`, async (t) => {
      // A body that is too large is cut off at once, a late body at the deadline.
      const timeoutMs = name in tooMuch ? 60_000 : 3_000
      const { upstream, logIn } = await startOverTcp(t, timeoutMs)
      upstream.answers.push(rejection)
      const start = performance.now()
      t.match(await logIn(), { status: 401, body: REJECTED })
      t.ok(performance.now() - start < timeoutMs, 'the reply does not wait for the body')
      const { socket } = upstream.requests.at(-1) as RawRequest
      t.equal((await logIn()).status, 200)
      await until(() => !upstream.sockets.has(socket))
      const closedMs = performance.now() - start
      t.equal(closedMs < timeoutMs, name in tooMuch, `closed after ${Math.round(closedMs)} ms`)
      t.ok(closedMs < 2 * timeoutMs, `closed after ${Math.round(closedMs)} ms`)
    })
  }
})

t.test('the connection is reused after a rejection with a complete body', async (t) => {
  const { upstream, logIn } = await startOverTcp(t, 60_000)
  for (const status of [401, 429, 500, 302]) {
    upstream.answers.push((socket) =>
      socket.write(response(status, 'x'.repeat(10), ['content-length: 20', 'keep-alive: timeout=600']))
    )
    await logIn()
    const { socket } = upstream.requests.at(-1) as RawRequest
    socket.write('x'.repeat(10))
    // A loop, because the test cannot observe when the rest of the body arrives.
    await until(async () => (await logIn()).status === 200 && upstream.requests.at(-1)?.socket === socket)
  }
  t.pass('each')
})

const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length

t.test('a response leaves no timer', async (t) => {
  const { upstream, logIn } = await startOverTcp(t, 60_000)
  await logIn()
  await until(() => timers() === 0)
  const user = '{"user":{"id":"ada"}}'
  for (const answer of [response(401, user), response(500), response(204), response(200, '{}'), response(200, user)]) {
    upstream.answers.push(answer)
    await logIn()
    await until(() => timers() === 0)
  }
  upstream.answers.push((socket) => socket.resetAndDestroy())
  await logIn()
  await until(() => timers() === 0)
  t.pass('each')
})

t.test('the app closes within the deadline while logins hang, and leaves no connection or timer', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: TIMEOUT_MS } })
  upstream.answers.push(...Array.from({ length: 20 }, () => nothing))
  const answers = Promise.all(Array.from({ length: 20 }, () => app.inject(LOGIN)))
  await until(() => upstream.requests.length === 20)
  const start = performance.now()
  await app.close()
  t.ok(performance.now() - start < TIMEOUT_MS + 10_000, 'close() returns in time')
  for (const answer of await answers) assertRefused(t, answer, TIMEOUT)
  await until(() => upstream.sockets.size === 0 && timers() === 0)
})

/** A host that never accepts a connection: the kernel fills the backlog, and the process is blocked. */
async function startDeafHost(): Promise<{ port: number; stop: () => Promise<unknown> }> {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads')
     const server = require('node:net').createServer().listen({ port: 0, host: '127.0.0.1', backlog: 1 }, () => {
       parentPort.postMessage(server.address().port)
       Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)
     })`,
    { eval: true }
  )
  const port = await new Promise<number>((resolve) => worker.once('message', resolve))
  return { port, stop: () => worker.terminate() }
}
