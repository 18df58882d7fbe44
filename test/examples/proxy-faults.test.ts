import { once } from 'node:events'
import { get, request } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { text } from 'node:stream/consumers'
import httpProxy from '@fastify/http-proxy'
import t from 'tap'
import { sessionProxy } from '../../examples/session-proxy.js'
import { createHost } from '../fixtures/host.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { cert, key } from '../fixtures/self-signed.js'
import { until } from '../fixtures/until.js'
import { assertNoClearSignal, createProxyScene } from './proxy-scene.js'

t.test('a service that is down is a 502, which ends no session and has no address', async (t) => {
  const { app, service, sessionId, send } = await createProxyScene(t)
  await service.stop()
  for (const line of ['GET /orders/7', 'POST /orders/7']) {
    const answer = await send(line, [], line.startsWith('POST') ? 'body' : '')
    t.equal(answer.status, 502)
    assertNoClearSignal(t, answer)
    t.notMatch(answer.body, String(service.port))
    t.match(JSON.parse(answer.body), { statusCode: 502, message: 'The service does not respond' })
  }
  t.not(await app.sessions.find(sessionId), null)
})

t.test('a service that answers nothing is a 504, and a connection that breaks a 502', async (t) => {
  const overrides = () => ({ undici: { headersTimeout: 100 } })
  // @fastify/reply-from logs the whole error.
  const server = {
    logger: { serializers: { err: ({ message, stack = '' }: Error) => ({ type: '', message, stack }) } }
  }
  const { service, send } = await createProxyScene(t, { overrides, server })
  service.answer = () => {}
  const late = await send('GET /orders/7')
  t.equal(late.status, 504)
  assertNoClearSignal(t, late)
  service.answer = ({ socket }) => socket.destroy()
  t.equal((await send('GET /orders/7')).status, 502)
})

t.test('a 503 of the service is passed on once, and is no end', async (t) => {
  const { service, send } = await createProxyScene(t)
  let calls = 0
  service.answer = (_request, response) => {
    calls++
    response.writeHead(503, { 'retry-after': '7', 'session-ended': 'expired', 'content-length': 4 }).end('busy')
  }
  const answer = await send('GET /orders/7')
  t.equal(answer.status, 503)
  t.equal(answer.body, 'busy')
  assertNoClearSignal(t, answer)
  t.equal(calls, 1)
})

t.test('a service with a certificate that nothing trusts gets no request', async (t) => {
  let requests = 0
  const server = createTlsServer({ key, cert }, (_request, response) => {
    requests++
    response.end()
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const upstream = `https://127.0.0.1:${(server.address() as AddressInfo).port}`
  const { app } = await createHost(t, {
    after: (app) => app.register(httpProxy, { ...sessionProxy(), prefix: '/orders', upstream })
  })
  const { token } = await app.sessions.create({ id: 'ada' })
  const answer = await app.inject({ url: '/orders/7', headers: { authorization: `Bearer ${token}` } })
  t.equal(answer.statusCode, 502)
  t.equal(requests, 0)
})

t.test('while Redis does not respond the answer is 503, and the service gets nothing', async (t) => {
  const redis = await connectRedis(t)
  const { service, send } = await createProxyScene(t, { redis, options: { storeTimeoutMs: 100 } })
  redis.disconnect()
  const answer = await send('GET /orders/7')
  t.equal(answer.status, 503)
  assertNoClearSignal(t, answer)
  t.strictSame(service.requests, [])
})

t.test('a header that the service repeats ends neither the request nor the process', async (t) => {
  const { service, send } = await createProxyScene(t)
  const repeated = ['Content-Type', 'Location', 'Session-Ended', 'Clear-Site-Data', 'Cache-Control', 'Vary']
  for (const name of repeated) {
    service.answer = (_request, response) =>
      response.writeHead(200, [name, 'a', name, 'b', 'Content-Length', '2']).end('ok')
    const answer = await send('GET /orders/7')
    t.strictSame([answer.status, answer.body], [200, 'ok'], name)
    assertNoClearSignal(t, answer)
  }
})

t.test('bodies stream in both directions', async (t) => {
  const { service, url, token } = await createProxyScene(t)
  service.answer = async (request, response) => {
    for await (const chunk of request) response.write(`got ${chunk};`)
    response.end()
  }
  const headers = { authorization: `Bearer ${token}`, 'content-type': 'application/octet-stream' }
  const sent = request(`${url}/orders/echo`, { method: 'POST', headers })
  sent.write('one')
  const [answer] = await once(sent, 'response')
  const [first] = await once(answer, 'data')
  t.equal(String(first), 'got one;', 'the answer begins before the body has ended')
  sent.end('two')
  t.equal(await text(answer), 'got two;')

  const large = Buffer.alloc(3_000_000, 'x')
  service.answer = (request, response) => request.pipe(response)
  const echo = await fetch(`${url}/orders/echo`, { method: 'POST', headers, body: large })
  t.equal((await echo.text()).length, large.length, 'larger than the bodyLimit of Fastify')
})

t.test('an event stream of the service ends with the session, also when nothing is sent', async (t) => {
  const { app, service, url, token, sessionId } = await createProxyScene(t)
  const closed: unknown[] = []
  service.answer = (request, response) => {
    const type = request.url === '/events' ? 'Text/Event-Stream; charset=utf-8' : 'application/octet-stream'
    response.writeHead(200, { 'content-type': type }).write('data: 1\n\n')
    response.on('close', () => closed.push(request.url))
  }
  const headers = { authorization: `Bearer ${token}` }
  const open = async (path: string) => {
    const [answer] = await once(get(url + path, { headers }), 'response')
    await once(
      answer.on('error', () => {}),
      'data'
    )
    return answer
  }
  const download = await open('/orders/download')
  const events = await open('/orders/events')
  await app.sessions.revoke(sessionId)
  await until(() => events.destroyed && closed.includes('/events'))
  t.strictSame(closed, ['/events'], 'a download is not cut off')
  download.destroy()
  await until(() => closed.length === 2)
})

t.test('a client that hangs up ends the request of the service', async (t) => {
  const { service, url, token } = await createProxyScene(t)
  let isClosed = false
  service.answer = (_request, response) => {
    response.writeHead(200).write('x')
    response.on('close', () => {
      isClosed = true
    })
  }
  const sent = get(`${url}/orders/7`, { headers: { authorization: `Bearer ${token}` } }).on('error', () => {})
  await once(sent, 'response')
  sent.destroy()
  await until(() => isClosed)
})
