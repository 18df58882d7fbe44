import { createServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import t from 'tap'
import { Agent, type Dispatcher, MockAgent, Pool } from 'undici'
import type { UpstreamDispatcher } from '../../lib/index.js'
import { createApp, logIn } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { cert, key } from '../fixtures/self-signed.js'
import { until } from '../fixtures/until.js'
import { startUpstream } from '../fixtures/upstream.js'

const LOGIN = postJson('/user/login', CREDENTIALS)
const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }

t.test('the connections of the plugin’s pool stay open until the app closes', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const kept = response(200, '{"user":{"id":"ada"}}', ['keep-alive: timeout=600'])
  upstream.answers.push(...Array.from({ length: 10 }, () => kept))
  await Promise.all(Array.from({ length: 5 }, () => logIn(app)))
  t.equal(upstream.sockets.size, 5)
  for (let n = 0; n < 5; n += 1) await logIn(app)
  t.equal(upstream.sockets.size, 5, 'the connections are reused')
  const start = performance.now()
  await app.close()
  await until(() => upstream.sockets.size === 0)
  t.ok(performance.now() - start < 10_000, 'close() does not wait for the keep-alive timeout')
})

t.test('the body of a dispatcher may be any iteration of bytes, with the same limits as a stream', async (t) => {
  let chunks: (string | Error)[] = []
  async function* read() {
    for (const chunk of chunks) {
      if (chunk instanceof Error) throw chunk
      yield Buffer.from(chunk)
    }
  }
  const dispatcher: UpstreamDispatcher = {
    request: async () => ({ statusCode: 200, headers: {}, body: Object.assign(read(), { dump: async () => null }) })
  }
  const app = await createApp(t, { upstream: { baseUrl: 'http://127.0.0.1:1', dispatcher, maxResponseBytes: 100 } })
  const logInWith = async (...next: (string | Error)[]) => {
    chunks = next
    return app.inject(LOGIN)
  }
  t.equal((await logInWith('{"user":', '{"id":"ada"}}')).statusCode, 200)
  t.match((await logInWith('{"user":{"id":"ada","name":"', 'x'.repeat(100), '"}}')).json(), INVALID)
  t.match((await logInWith('{"user":', new Error('cut off'))).json(), INVALID)
  t.match((await logInWith()).json(), INVALID)
})

t.test('an app without logins closes', async (t) => {
  const app = await createApp(t, { upstream: { baseUrl: 'http://127.0.0.1:1' } })
  await app.close()
})

t.test('an injected dispatcher is used, and stays open when the app closes', async (t) => {
  const { baseUrl, requests } = await startUpstream(t)
  for (const dispatcher of [new Pool(baseUrl), new Agent()]) {
    t.teardown(() => dispatcher.close())
    const app = await createApp(t, { upstream: { baseUrl: `${baseUrl}/api`, dispatcher } })
    const request = t.capture(dispatcher, 'request', dispatcher.request)
    await logIn(app)
    await app.close()
    t.equal(request().length, 1)
    t.notOk(dispatcher.closed)
    t.notOk(dispatcher.destroyed)
    const { statusCode, body } = await dispatcher.request({ origin: baseUrl, path: '/x', method: 'POST', body: '{}' })
    await body.dump()
    t.equal(statusCode, 201, 'the dispatcher is still open')
  }
  t.strictSame(
    requests.map(({ path }) => path),
    ['/api/user/login', '/x', '/api/user/login', '/x']
  )
})

t.test('a MockAgent can replace the upstream, and stays open when the app closes', async (t) => {
  const agent = new MockAgent()
  agent.disableNetConnect()
  t.teardown(() => agent.close())
  const mock = agent.get('http://users.internal')
  const app = await createApp(t, { upstream: { baseUrl: 'http://users.internal/v1', dispatcher: agent } })
  const close = t.capture(agent, 'close', agent.close)
  const path = '/v1/user/login'
  mock.intercept({ path, method: 'POST', body: JSON.stringify(CREDENTIALS) }).reply(200, { user: { id: 'ada' } })
  mock.intercept({ path, method: 'POST' }).reply(401, 'no')
  mock.intercept({ path, method: 'POST' }).replyWithError(new Error('upstream-only'))
  t.strictSame((await app.inject(LOGIN)).json().user, { id: 'ada' })
  t.equal((await app.inject(LOGIN)).statusCode, 401)
  assertRefused(t, await app.inject(LOGIN), INVALID, ['upstream-only', 'users.internal'])
  assertRefused(t, await app.inject(LOGIN), INVALID, ['users.internal'])
  agent.assertNoPendingInterceptors()
  await app.close()
  t.equal(close().length, 0)
})

t.test('a dispatcher that throws is 502', async (t) => {
  const thrown = new Error('upstream-only')
  const fails: Dispatcher['request'][] = [
    () => {
      throw thrown
    },
    () => Promise.reject(thrown),
    () => Promise.reject(),
    () => Promise.resolve({} as never),
    () => Promise.resolve(undefined as never)
  ]
  for (const request of fails) {
    const app = await createApp(t, { upstream: { baseUrl: 'http://127.0.0.1:1', dispatcher: { request } } })
    assertRefused(t, await app.inject(LOGIN), INVALID, ['upstream-only'])
  }
})

t.test('the certificate of an upstream is verified', async (t) => {
  const requests: unknown[] = []
  const server = createServer({ key, cert }, (request, response) => {
    requests.push(request.url)
    response.end('{"user":{"id":"ada"}}')
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  const baseUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const app = await createApp(t, { upstream: { baseUrl } })
  assertRefused(t, await app.inject(LOGIN), INVALID, [baseUrl, 'self-signed'])
  t.strictSame(requests, [], 'no credentials were sent')

  const dispatcher = new Pool(baseUrl, { connect: { ca: cert } })
  t.teardown(() => dispatcher.close())
  const trusting = await createApp(t, { upstream: { baseUrl, dispatcher } })
  t.equal((await trusting.inject(LOGIN)).statusCode, 200, 'a trusted upstream is called')
})

t.test('https to an HTTP upstream is 502, and http to an HTTPS upstream too', async (t) => {
  const plain = await startUpstream(t)
  const server = createServer({ key, cert }, () => t.fail('the upstream was called'))
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  for (const baseUrl of [plain.baseUrl.replace('http:', 'https:'), `http://127.0.0.1:${port}`]) {
    const app = await createApp(t, { upstream: { baseUrl } })
    assertRefused(t, await app.inject(LOGIN), INVALID, [baseUrl])
  }
  t.equal(plain.requests.length, 0)
})
