import { once } from 'node:events'
import { connect } from 'node:http2'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { fastifyJwtSession } from '../../lib/index.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { httpPost, listen } from '../fixtures/listen.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { until } from '../fixtures/until.js'
import { startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const JSON_TYPE = 'Content-Type: application/json'
const BODY = JSON.stringify(CREDENTIALS)
const ROUTES = ['/user/login', '/user/register']

const UNFINISHED: Record<string, [headers: string[], body: string]> = {
  'nothing of it': [[JSON_TYPE, 'Content-Length: 100'], ''],
  'all but a byte': [[JSON_TYPE, `Content-Length: ${BODY.length}`], BODY.slice(0, -1)],
  'chunks without end': [[JSON_TYPE, 'Transfer-Encoding: chunked'], `${BODY.length.toString(16)}\r\n${BODY}\r\n`],
  'chunks of a type that is refused at once': [['Content-Type: text/plain', 'Transfer-Encoding: chunked'], '1\r\nx\r\n']
}

// The tests run in parallel: each waits for seconds.
t.test('a request with an unfinished body is cut off within ten seconds', { jobs: 20 }, async (t) => {
  const upstream = await startUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const { dial } = await listen(t, app)
  const startedAt = Date.now()
  const waiting: PromiseLike<unknown>[] = []
  const meanwhile = (name: string, check: (t: Test) => Promise<void>) => waiting.push(t.test(name, check))

  for (const path of ROUTES) {
    for (const [name, [headers, body]] of Object.entries(UNFINISHED)) {
      meanwhile(`${path} is cut off when the body is unfinished: ${name}`, async (t) => {
        const { socket, closed, received } = dial()
        socket.write(httpPost(path, headers, body))
        await closed
        t.ok(Date.now() - startedAt < 10_000)
        t.notMatch(received(), 'HTTP/1.1 2')
      })
    }
  }

  for (const [name, [headers, body]] of Object.entries(UNFINISHED)) {
    meanwhile(`a logout with an unfinished body is answered, then cut off: ${name}`, async (t) => {
      const { token, session } = await app.sessions.create({ id: 'ada' })
      const { socket, closed, received } = dial()
      socket.write(httpPost('/user/logout', [`Authorization: Bearer ${token}`, ...headers], body))
      await until(() => received().includes('HTTP/1.1 204 '))
      t.equal(await app.sessions.find(session.id), null)
      await closed
      t.equal(received().match(/HTTP/g)?.length, 1)
    })
  }

  meanwhile('over HTTP/2 a logout or a revocation with an unfinished body is answered', async (t) => {
    const app = createWatchedFastify(t, { http2: true })
    const options = { jwt: { secret: SECRET }, upstream: { baseUrl: upstream.baseUrl }, routes: { sessions: {} } }
    await app.register(fastifyJwtSession as never, options as never)
    const session = connect(await app.listen({ host: '127.0.0.1', port: 0 }))
    t.teardown(() => session.destroy())
    for (const type of ['text/plain', 'no type', 'application/json', '']) {
      for (const [method, path] of [
        ['POST', '/user/logout'],
        ['DELETE', '/user/sessions']
      ]) {
        const { token, session: own } = await app.sessions.create({ id: 'ada' } as never)
        const { session: other } = await app.sessions.create({ id: 'ada' } as never)
        const authorization = `Bearer ${token}`
        const headers = { ':method': method, ':path': path, authorization, 'content-type': type }
        const unfinished = session.request(headers, { endStream: false })
        unfinished.on('error', () => {}).write(BODY)
        const [answer] = await once(unfinished, 'response')
        t.equal(answer[':status'], 204, `${method} ${path} ${type}`)
        const ended = path === '/user/logout' ? own : other
        t.equal(await app.sessions.find(ended.id), null)
      }
    }
    t.notOk(session.closed)
  })

  meanwhile('a logout with a body of ten megabytes is answered, and the connection can be used again', async (t) => {
    const { socket, received } = dial()
    for (const round of [1, 2]) {
      const { token } = await app.sessions.create({ id: 'ada' })
      const authorization = `Authorization: Bearer ${token}`
      socket.write(httpPost('/user/logout', [authorization, JSON_TYPE, 'Content-Length: 10000000']))
      socket.write(Buffer.alloc(10_000_000, 'x'))
      await until(() => received().match(/HTTP\/1\.1 204 /g)?.length === round)
    }
    t.notMatch(received(), 'HTTP/1.1 4')
  })

  meanwhile('a body that drips is cut off', async (t) => {
    const { socket, closed, received } = dial()
    socket.write(httpPost('/user/login', [JSON_TYPE, 'Content-Length: 16000'], '{"username":"'))
    const drip = setInterval(() => socket.write('x'), 100)
    t.teardown(() => clearInterval(drip))
    await closed
    t.ok(Date.now() - startedAt < 10_000)
    t.notMatch(received(), 'HTTP/1.1 2')
  })

  meanwhile('over HTTP/2 a login with an unfinished body is cut off, and the connection stays open', async (t) => {
    const app = createWatchedFastify(t, { http2: true })
    const options = { jwt: { secret: SECRET }, upstream: { baseUrl: upstream.baseUrl } }
    await app.register(fastifyJwtSession as never, options as never)
    const origin = await app.listen({ host: '127.0.0.1', port: 0 })
    const session = connect(origin)
    t.teardown(() => session.destroy())
    const headers = { ':method': 'POST', ':path': '/user/login', 'content-type': 'application/json' }
    const unfinished = session.request(headers, { endStream: false })
    unfinished.on('error', () => {}).write(BODY)
    const other = session.request(headers).end('{}')
    const [answer] = await once(other, 'response')
    t.equal(answer[':status'], 400)
    await once(unfinished, 'close', { signal: AbortSignal.timeout(10_000) })
    t.notOk(session.closed)
  })

  meanwhile('a keep-alive connection is not cut off after a body that arrived in time', async () => {
    const { socket, received } = dial()
    const request = httpPost('/user/login', [JSON_TYPE, `Content-Length: ${BODY.length}`], BODY)
    const answers = () => received().match(/HTTP\/1\.1 200 OK/g)?.length
    socket.write(request)
    await until(() => answers() === 1)
    await delay(5_500)
    socket.write(request)
    await until(() => answers() === 2)
  })

  meanwhile('a login is not cut off when the upstream takes longer than a body may', async (t) => {
    const slow = await startUpstream(t, async (_request, response) => {
      await delay(5_500)
      response.setHeader('content-type', 'application/json').end('{"user":{"id":"ada"}}')
    })
    const app = await createApp(t, { upstream: { baseUrl: slow.baseUrl, timeoutMs: 9_000 } })
    const { dial } = await listen(t, app)
    const { socket, received } = dial()
    socket.write(httpPost('/user/login', [JSON_TYPE, `Content-Length: ${BODY.length}`], BODY))
    await until(() => received().includes('"token_type":"Bearer"'))
  })

  meanwhile('a logout without a body is not cut off when the upstream does not respond', async (t) => {
    const stalled = await startUpstream(t, (request, response) => {
      if (request.url === '/logout') return
      response.setHeader('content-type', 'application/json').end('{"user":{"id":"ada"}}')
    })
    const app = await createApp(t, { upstream: { baseUrl: stalled.baseUrl, logoutPath: '/logout' } })
    const { dial } = await listen(t, app)
    const { socket, received, closed } = dial()
    const authorization = `Authorization: Bearer ${await logIn(app)}`
    socket.write(httpPost('/user/logout', [authorization, 'Content-Length: 0', 'Connection: close']))
    await closed
    t.match(received(), /^HTTP\/1\.1 204 [\s\S]*session-ended: logged_out/)
  })

  await Promise.all(waiting)
  t.equal(upstream.requests.length, 2, 'no unfinished request has reached the upstream')
  t.equal((await app.inject(withToken(await logIn(app)))).statusCode, 200, 'and the next login works')
})

t.test('malformed requests over a real connection are refused', async (t) => {
  const upstream = await startUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const { dial } = await listen(t, app)
  const big = 'x'.repeat(20_000)
  const chunk = (text: string) => `${text.length.toString(16)}\r\n${text}\r\n`
  const cases: Record<string, [expected: RegExp, headers: string[], body: string]> = {
    'a body in chunks is read': [/ 200 OK\r\n/, [JSON_TYPE, 'Transfer-Encoding: chunked'], `${chunk(BODY)}0\r\n\r\n`],
    'more than 16 KB in one chunk are 413': [
      / 413 [\s\S]*FST_ERR_CTP_BODY_TOO_LARGE/,
      [JSON_TYPE, 'Transfer-Encoding: chunked'],
      `${chunk(big)}0\r\n\r\n`
    ],
    'more than 16 KB in many chunks are 413, before the last has come': [
      / 413 [\s\S]*FST_ERR_CTP_BODY_TOO_LARGE/,
      [JSON_TYPE, 'Transfer-Encoding: chunked'],
      chunk('x').repeat(16_385)
    ],
    'more than 16 KB announced are 413, before any has come': [
      / 413 [\s\S]*FST_ERR_CTP_BODY_TOO_LARGE/,
      [JSON_TYPE, 'Content-Length: 16385'],
      ''
    ],
    'chunks without a type are 415': [/ 415 /, ['Transfer-Encoding: chunked'], `${chunk(BODY)}0\r\n\r\n`],
    'the first of two types counts': [
      / 415 /,
      ['Content-Type: text/plain', JSON_TYPE, `Content-Length: ${BODY.length}`],
      BODY
    ],
    'two framings are 400': [
      / 400 /,
      [JSON_TYPE, `Content-Length: ${BODY.length}`, 'Transfer-Encoding: chunked'],
      `${chunk(BODY)}0\r\n\r\n`
    ],
    'a body that goes on behind its length is 400': [/ 400 /, [JSON_TYPE, `Content-Length: ${BODY.length - 5}`], BODY]
  }
  for (const [name, [expected, headers, body]] of Object.entries(cases)) {
    await t.test(name, async (t) => {
      upstream.requests.length = 0
      const { socket, received } = dial()
      socket.write(httpPost('/user/login', headers, body))
      await until(() => expected.test(received()))
      const isGood = expected.test(' 200 OK\r\n')
      t.equal(upstream.requests.length, isGood ? 1 : 0)
      t.notMatch(received(), CREDENTIALS.password)
    })
  }
  t.equal((await app.inject(withToken(await logIn(app)))).statusCode, 200, 'the next login works')
})

t.test('a client that hangs up in the middle of a body does no harm', async (t) => {
  const upstream = await startUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } })
  const { dial } = await listen(t, app)
  for (const hangUp of ['end', 'destroy', 'resetAndDestroy'] as const) {
    const { socket, closed } = dial()
    socket.write(httpPost('/user/login', [JSON_TYPE, `Content-Length: ${BODY.length}`], BODY.slice(0, 10)))
    await delay(20)
    socket[hangUp]()
    await closed
  }
  t.strictSame(upstream.requests, [])
  t.equal((await app.inject(withToken(await logIn(app)))).statusCode, 200, 'the next login works')
})

t.test('an answered request leaves no timer that would keep the process alive', async (t) => {
  const app = await createApp(t)
  const timers = () => process.getActiveResourcesInfo().filter((resource) => resource === 'Timeout').length
  const token = await logIn(app)
  await app.inject(postJson('/user/login', '{}'))
  await app.inject(logout(token))
  const before = timers()
  await app.close()
  t.ok(before <= 1, `${before} timers`)
})
