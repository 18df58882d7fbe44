import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import t from 'tap'
import { CredentialsRejectedError, type UpstreamClient, type UpstreamContext } from '../../lib/index.js'
import { createApp, logout } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { httpPost, listen } from '../fixtures/listen.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startRawUpstream } from '../fixtures/raw-upstream.js'
import { until } from '../fixtures/until.js'

const TIMEOUT = { statusCode: 504, code: 'FST_JWT_SESSION_UPSTREAM_TIMEOUT' }
const ROUTES = ['login', 'register'] as const
const never = () => new Promise<never>(() => {})

t.test('an UpstreamClient that never settles is 504 at `timeoutMs`', async (t) => {
  const contexts: UpstreamContext[] = []
  const hang = (_body: unknown, context: UpstreamContext) => {
    contexts.push(context)
    return never()
  }
  const upstream: UpstreamClient = { login: hang, register: hang, logout: hang, timeoutMs: 50 }
  const app = await createApp(t, { upstream })
  await listen(t, app)
  for (const route of ROUTES) assertRefused(t, await app.inject(postJson(`/user/${route}`, CREDENTIALS)), TIMEOUT)
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject(logout(token))).statusCode, 204)
  t.strictSame(
    contexts.map(({ signal }) => signal.aborted),
    [true, true, true]
  )
})

const LATE: Record<string, (signal: AbortSignal) => Promise<{ user: unknown }>> = {
  'rejects with the reason of the abort': (signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
  'rejects with an error of its own': (signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => reject(new Error('upstream-only')))),
  'resolves long after': (signal) =>
    new Promise((resolve) => signal.addEventListener('abort', () => setTimeout(resolve, 30, { user: { id: 'eve' } }))),
  'rejects long after': (signal) =>
    new Promise((_resolve, reject) => signal.addEventListener('abort', () => setTimeout(reject, 30, new Error('late'))))
}

for (const [name, call] of Object.entries(LATE)) {
  t.test(`an UpstreamClient that ${name} is 504, and the late result is ignored`, async (t) => {
    const run = (_body: unknown, { signal }: UpstreamContext) => call(signal)
    const app = await createApp(t, { upstream: { login: run, register: run, timeoutMs: 50 } })
    await listen(t, app)
    for (const route of ROUTES) {
      assertRefused(t, await app.inject(postJson(`/user/${route}`, CREDENTIALS)), TIMEOUT, ['eve', 'upstream-only'])
    }
    // An unhandled rejection would fail the test.
    await new Promise((resolve) => setTimeout(resolve, 60))
  })
}

t.test('a rejection in the turn of the abort is the reply', async (t) => {
  const login = (_body: unknown, { signal }: UpstreamContext) =>
    new Promise<never>((_resolve, reject) =>
      signal.addEventListener('abort', () => reject(new CredentialsRejectedError()))
    )
  const app = await createApp(t, { upstream: { login, timeoutMs: 50 } })
  await listen(t, app)
  t.equal((await app.inject(postJson('/user/login', CREDENTIALS))).statusCode, 401)
})

t.test('garbage collection during a call does not cancel the deadline', async (t) => {
  setFlagsFromString('--expose-gc')
  const collectGarbage: () => void = runInNewContext('gc')
  const upstream = await startRawUpstream(t)
  const custom = await createApp(t, { upstream: { login: never, timeoutMs: 300 } })
  const http = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 300 } })
  const timer = setInterval(collectGarbage, 20)
  t.teardown(() => clearInterval(timer))
  for (const app of [custom, http]) {
    upstream.answers.push(...Array.from({ length: 20 }, () => () => {}))
    const answers = await Promise.all(
      Array.from({ length: 20 }, () => app.inject(postJson('/user/login', CREDENTIALS)))
    )
    for (const answer of answers) assertRefused(t, answer, TIMEOUT)
  }
})

t.test('a client that hangs up aborts the call of the upstream, and a late error is ignored', async (t) => {
  const calls: { signal: AbortSignal; reject: (error: Error) => void }[] = []
  const login = (_body: unknown, { signal }: UpstreamContext) =>
    new Promise<never>((_resolve, reject) => calls.push({ signal, reject }))
  const breaker = { upstream: { maxInFlight: 1 } }
  const app = await createApp(t, { upstream: { login, timeoutMs: 60_000 }, breaker })
  const { dial } = await listen(t, app)
  const body = JSON.stringify(CREDENTIALS)
  for (const n of [1, 2]) {
    const { socket } = dial()
    socket.write(httpPost('/user/login', ['Content-Type: application/json', `Content-Length: ${body.length}`], body))
    await until(() => calls.length === n)
    t.notOk(calls[n - 1]?.signal.aborted)
    socket.destroy()
    await until(() => calls[n - 1]?.signal.aborted === true)
    // Only now the call is no longer counted as in flight.
    await new Promise(setImmediate)
    calls[n - 1]?.reject(new Error('late'))
  }
})

t.test('credentials that are mapped after the deadline are not sent', async (t) => {
  const upstream = await startRawUpstream(t)
  const late: (() => void)[] = []
  let isLate = true
  const mapCredentials = (body: object) =>
    isLate ? new Promise<object>((resolve) => late.push(() => resolve(body))) : body
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, mapCredentials, timeoutMs: 1_000 } })
  assertRefused(t, await app.inject(postJson('/user/login', CREDENTIALS)), TIMEOUT)
  isLate = false
  late[0]?.()
  t.equal((await app.inject(postJson('/user/login', { ...CREDENTIALS, username: 'next' }))).statusCode, 200)
  t.equal(upstream.requests.length, 1)
  t.match(upstream.requests[0], { body: /next/ })
})

t.test('timeoutMs of an UpstreamClient must be an integer that a timer accepts', async (t) => {
  for (const timeoutMs of [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, '300', null, true, {}]) {
    const upstream = { login: never, timeoutMs } as unknown as UpstreamClient
    await t.rejects(createApp(t, { upstream }), {
      code: 'FST_JWT_SESSION_INVALID_OPTION',
      option: 'upstream.timeoutMs'
    })
  }
  for (const timeoutMs of [undefined, 1, 2 ** 31 - 1]) {
    t.ok(await createApp(t, { upstream: { login: never, timeoutMs } }))
  }
})
