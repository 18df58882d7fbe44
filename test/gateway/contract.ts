import { verify as verifySignature } from 'node:crypto'
import fastifyCors from '@fastify/cors'
import fastifyRateLimit from '@fastify/rate-limit'
import fastifyWebsocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import { WebSocket } from 'undici'
import { createFaults } from '../fixtures/faults.js'
import { type RawResponse, valuesOf } from '../fixtures/raw-http.js'
import { readPayload } from '../fixtures/tokens.js'
import { LENIENT, testForged, testHidden } from './hostile-clients.js'
import type { Changes, ProxyName } from './programs.js'
import { NO_REQUEST, publicKey, type Scene, startScene } from './scene.js'

/** Tests of what a client and a service see behind each gateway of examples/gateway, with the real program. */
export function testGateway(proxy: ProxyName): void {
  t.test(`${proxy}: a live session reaches the service, with the user and a token that the service verifies`, (t) =>
    testAdmitted(t, proxy)
  )
  t.test(`${proxy}: a refusal reaches the client as the guard has sent it, and the service not at all`, (t) =>
    testRefused(t, proxy)
  )
  t.test(`${proxy}: an outage is 503, and no logout`, (t) => testOutages(t, proxy))
  t.test(`${proxy}: an authenticator that never answers is 503 in time`, (t) => testStall(t, proxy))
  t.test(`${proxy}: no client reaches the verify route`, (t) => testHidden(t, proxy, {}))
  t.test(`${proxy}: no client reaches the verify route of a router that takes many spellings`, (t) =>
    testHidden(t, proxy, LENIENT)
  )
  t.test(`${proxy}: no header of the client passes for a header of the authenticator`, (t) => testForged(t, proxy))
  t.test(`${proxy}: with the cookie a page of another origin cannot write`, (t) => testCookie(t, proxy))
  t.test(`${proxy}: the query of the client sets nothing`, (t) => testQuery(t, proxy))
  t.test(`${proxy}: a page of another origin has its preflight, and reads why a session has ended`, (t) =>
    testCors(t, proxy)
  )
  t.test(`${proxy}: a WebSocket is verified before it opens`, (t) => testWebSocket(t, proxy))
  t.test(`${proxy}: a rate limit of the authenticator is 429`, (t) => testRateLimit(t, proxy))
  t.test(`${proxy}: large headers pass, too large headers reach no service`, (t) => testLargeHeaders(t, proxy))
}

const SIGNALS = ['session-ended', 'clear-site-data']

/** Headers of the clear signal in an answer. */
function signalOf(response: Response | RawResponse): (string | null)[] {
  const headerOf = (name: string) =>
    'ok' in response ? response.headers.get(name) : valuesOf(response, name).join() || null
  return SIGNALS.map(headerOf)
}

const NO_SIGNAL = [null, null]

async function openEnded({ authenticator, open }: Scene): Promise<string> {
  const { token, session } = await open()
  await authenticator.sessions.revoke(session.id)
  return token
}

async function testAdmitted(t: Test, proxy: ProxyName): Promise<void> {
  const { visit, open, served } = await startScene(t, proxy)
  const { token } = await open('Ädä Löve')
  const answer = await visit('/orders/1?page=2', { token })
  t.equal(answer.status, 200)
  t.equal(await answer.text(), 'served')
  t.equal(answer.headers.get('x-service'), 'yes')
  t.strictSame(signalOf(answer), NO_SIGNAL, 'the service cannot send the clear signal')
  for (const name of ['session-user', 'session-token']) t.equal(answer.headers.get(name), null)
  const { method, url, headers } = served[0] ?? NO_REQUEST
  t.strictSame([method, url], ['GET', '/orders/1?page=2'])
  t.equal(headers['session-user'], encodeURIComponent('Ädä Löve'))
  const identity = String(headers['session-token'])
  const end = identity.lastIndexOf('.')
  const signature = Buffer.from(identity.slice(end + 1), 'base64url')
  t.ok(verifySignature(null, Buffer.from(identity.slice(0, end)), publicKey, signature))
  t.match(readPayload(identity), { sub: 'Ädä Löve', aud: 'services' })

  const body = 'a body '.repeat(20_000)
  for (const method of ['POST', 'PUT', 'DELETE']) {
    t.equal((await visit('/orders', { token, method, body })).status, 200)
    const request = served.at(-1)
    t.equal(request?.method, method)
    t.equal(request?.body.length, body.length, 'the service gets the body')
    t.equal(request?.headers['session-user'], encodeURIComponent('Ädä Löve'))
  }
  const { readable, writable } = new TransformStream()
  const writer = writable.getWriter()
  void writer.write(new TextEncoder().encode('in ')).then(() => writer.close())
  const chunked = { token, method: 'POST', body: readable, duplex: 'half' } as const
  t.equal((await visit('/orders', chunked)).status, 200)
  t.equal(served.at(-1)?.body, 'in ', 'a body without a length')
  t.equal((await visit('/fails', { token })).status, 500, 'an error of the service is its own')
  const refused = await visit('/refuses', { token })
  t.strictSame([refused.status, await refused.text()], [401, 'the service refused'])
  t.strictSame(signalOf(refused), NO_SIGNAL)
  for (const _ of Array(100)) t.equal((await visit('/again', { token })).status, 200, 'over one connection')
}

async function testRefused(t: Test, proxy: ProxyName): Promise<void> {
  const scene = await startScene(t, proxy)
  const { authenticator, visit, open, served } = scene
  const missing = await visit('/')
  t.equal(missing.status, 401)
  t.equal(missing.headers.get('www-authenticate'), 'Bearer realm="session"')
  t.strictSame(signalOf(missing), NO_SIGNAL)
  t.match(missing.headers.get('content-type'), 'application/json')
  t.match(await missing.json(), { statusCode: 401, error: 'Unauthorized' })

  const loggedOut = await open()
  const logout = await visit('/user/logout', { token: loggedOut.token, method: 'POST' })
  t.equal(logout.status, 204, 'the routes of the plugin are there')
  t.strictSame(signalOf(logout), ['logged_out', '"storage"'])
  const cases: [reason: string, token: string][] = [
    ['logged_out', loggedOut.token],
    ['revoked', await openEnded(scene)],
    ['invalid_token', 'garbage']
  ]
  for (const [reason, token] of cases) {
    for (const method of ['GET', 'POST']) {
      const ended = await visit('/', { token, method, ...(method === 'POST' && { body: 'x'.repeat(100_000) }) })
      t.equal(ended.status, 401)
      t.strictSame(signalOf(ended), [reason, '"storage"'])
      t.equal(ended.headers.get('cache-control'), 'no-store')
      t.equal(ended.headers.get('www-authenticate'), 'Bearer realm="session", error="invalid_token"')
      await ended.text()
    }
  }
  const client = await visit('/', { token: 'garbage', headers: { 'session-client': '1' } })
  t.strictSame(signalOf(client), ['invalid_token', null], 'the browser client deletes by itself')
  t.strictSame(served, [])
  const { token } = await authenticator.sessions.create({ id: 'ada' })
  t.equal((await visit('/', { token })).status, 200, 'the connection is good for the next request')
}

async function testOutages(t: Test, proxy: ProxyName): Promise<void> {
  const { authenticator, store, visit, open, served } = await startScene(t, proxy)
  const { token } = await open()
  store.isDown = true
  const unavailable = await visit('/', { token })
  t.equal(unavailable.status, 503)
  t.equal(unavailable.headers.get('retry-after'), '1')
  t.strictSame(signalOf(unavailable), NO_SIGNAL)
  store.isDown = false
  t.equal((await visit('/', { token })).status, 200)

  const closed = authenticator.close()
  authenticator.server.closeAllConnections()
  await closed
  for (const request of [{ token }, { token: 'garbage' }, {}]) {
    const down = await visit('/', request)
    t.equal(down.status, 503)
    t.strictSame(signalOf(down), NO_SIGNAL)
  }
  t.equal(served.length, 1)
}

/** The timeout of each example, shorter. */
const SHORT: Record<ProxyName, Changes> = {
  nginx: { 'proxy_read_timeout 10s': 'proxy_read_timeout 100ms' },
  caddy: { 'response_header_timeout 10s': 'response_header_timeout 100ms' }
}

async function testStall(t: Test, proxy: ProxyName): Promise<void> {
  const before = (app: Scene['authenticator']) =>
    app.addHook('onRequest', ({ url }, _reply, done) => (url.startsWith('/user/verify') ? undefined : done()))
  const { authenticator, visit, served } = await startScene(t, proxy, { before, changes: SHORT[proxy] })
  const stalled = await visit('/', { token: 'garbage' })
  t.equal(stalled.status, 503)
  t.strictSame(signalOf(stalled), NO_SIGNAL)
  t.strictSame(served, [])
  authenticator.server.closeAllConnections()
}

async function testCookie(t: Test, proxy: ProxyName): Promise<void> {
  const { send, open, served } = await startScene(t, proxy, { options: { cookie: {} } })
  const { token } = await open()
  const cookie = `Cookie: a=b; __Host-Http-session=${token}`
  const faults = createFaults()
  const page = (site: string, origin: string) => [`Sec-Fetch-Site: ${site}`, `Origin: ${origin}`]
  const sibling = page('same-site', 'https://blog.gateway.example')
  const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: eA==']
  const cases: [name: string, line: string, lines: string[], status: number][] = [
    ['a write of the own page', 'POST /', page('same-origin', 'https://gateway.example'), 200],
    ['a write of a browser before 2023', 'POST /', ['Origin: https://gateway.example'], 200],
    ['a read of another page', 'GET /', sibling, 200],
    ['a link', 'GET /', ['Sec-Fetch-Site: cross-site'], 200],
    ['a write of another page', 'POST /', sibling, 403],
    ['a deletion of another page', 'DELETE /', sibling, 403],
    ['a write of a program', 'POST /', [], 403],
    ['a client that names its own method', 'POST /', [...sibling, 'X-Forwarded-Method: GET'], 403],
    ['a client that names its own method twice', 'POST /', [...sibling, 'X-Original-Method: GET'], 403],
    ['a read with a header of the client', 'GET /', [...sibling, 'X-Original-Method: GET'], 200],
    ['a WebSocket of another page', 'GET /socket', [...sibling, ...upgrade], 403],
    ['an unknown method', 'PURGE /', sibling, 403]
  ]
  for (const [name, line, lines, status] of cases) {
    served.length = 0
    const answer = await send(line, [cookie, ...lines])
    faults.compare(name, [answer.status, signalOf(answer), served.length], [status, NO_SIGNAL, Number(status === 200)])
    faults.compare(`${name}: the service sees no cookie`, served[0]?.headers.cookie, undefined)
  }
  faults.assertNone(t)
}

async function testQuery(t: Test, proxy: ProxyName): Promise<void> {
  const { visit, open, served } = await startScene(t, proxy)
  for (const query of ['optional=true', 'optional=true&x=1', 'fresh_seconds=1', 'x=1']) {
    t.equal((await visit(`/?${query}`)).status, 401, query)
  }
  t.strictSame(served, [])
  const { token } = await open()
  t.equal((await visit('/?fresh_seconds=x&unknown=1', { token })).status, 200)
  t.equal(served[0]?.url, '/?fresh_seconds=x&unknown=1', 'the service gets the query')
}

async function testCors(t: Test, proxy: ProxyName): Promise<void> {
  const origin = 'https://app.example'
  const scene = await startScene(t, proxy, {
    before: (app) => app.register(fastifyCors, { origin, credentials: true })
  })
  const { visit, served } = scene
  const asked = { 'access-control-request-method': 'POST', 'access-control-request-headers': 'authorization', origin }
  t.equal((await visit('/orders', { method: 'OPTIONS', headers: asked })).status, 200)
  t.equal(served.length, 1, 'the service answers a preflight')
  t.notOk(served[0]?.headers['session-user'])
  t.equal((await visit('/orders', { headers: asked })).status, 401, 'a request with the headers of a preflight is none')

  const ended = await visit('/orders', { token: await openEnded(scene), headers: { origin } })
  t.strictSame(signalOf(ended), ['revoked', null], 'the data of another origin is not deleted')
  t.equal(ended.headers.get('access-control-allow-origin'), origin)
  t.equal(ended.headers.get('access-control-allow-credentials'), 'true')
  t.match(ended.headers.get('access-control-expose-headers'), 'Session-Ended')
}

async function testWebSocket(t: Test, proxy: ProxyName): Promise<void> {
  // An application with sockets of its own must answer the question of the proxy as any other does.
  for (const before of [undefined, (app: Scene['authenticator']) => app.register(fastifyWebsocket)]) {
    const { gateway, open, send, served, upgrades } = await startScene(t, proxy, before && { before })
    const { token } = await open()
    const headers = { authorization: `Bearer ${token}`, 'session-user': 'root' }
    const socket = new WebSocket(`ws://127.0.0.1:${gateway.port}/socket`, { headers })
    const echo = await new Promise((resolve, reject) => {
      socket.addEventListener('open', () => socket.send('hello'))
      socket.addEventListener('message', ({ data }) => resolve(data))
      socket.addEventListener('error', reject)
      socket.addEventListener('close', reject)
    })
    socket.close()
    t.equal(echo, 'echo hello')
    t.equal(served[0]?.headers['session-user'], 'ada')

    const upgrade = ['Connection: Upgrade', 'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==']
    const refused = await send('GET /socket', ['Upgrade: websocket', 'Authorization: Bearer garbage', ...upgrade])
    t.equal(refused.status, 401)
    t.strictSame(signalOf(refused), ['invalid_token', '"storage"'])
    t.equal((await send('GET /socket', ['Upgrade: websocket', ...upgrade])).status, 401)
    t.equal(served.length, 1)

    // A preflight is not verified, and opens no socket.
    upgrades.length = 0
    const unverified = ['Upgrade: websocket', ...upgrade]
    t.not((await send('OPTIONS /socket', unverified)).status, 101)
    t.not((await send('POST /socket', [`Authorization: Bearer ${token}`, ...unverified])).status, 101)

    // Behind an upgrade to HTTP/2 the proxy sees no further request.
    const h2c = ['Connection: Upgrade, HTTP2-Settings', 'HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA']
    for (const value of ['h2c', 'websocket, h2c', 'h2c, websocket']) {
      served.length = 0
      const { status } = await send('GET /socket', [`Upgrade: ${value}`, `Authorization: Bearer ${token}`, ...h2c])
      t.not(status, 101, value)
      t.notOk(served.some(({ headers }) => headers.upgrade !== undefined))
    }
    const two = ['Upgrade: h2c', 'Upgrade: websocket', ...h2c]
    for (const line of ['GET /socket', 'OPTIONS /socket']) {
      await send(line, [`Authorization: Bearer ${token}`, ...two]).catch(() => null)
    }
    t.strictSame(upgrades, [])
  }
}

async function testRateLimit(t: Test, proxy: ProxyName): Promise<void> {
  const { visit, open, served } = await startScene(t, proxy, {
    before: (app) => app.register(fastifyRateLimit, { global: false }),
    options: { routes: { verify: { config: { rateLimit: { max: 1, timeWindow: 60_000 } } } } }
  })
  const { token } = await open()
  t.equal((await visit('/', { token })).status, 200)
  const limited = await visit('/', { token })
  t.equal(limited.status, 429)
  t.match(limited.headers.get('retry-after'), /^\d+$/)
  t.strictSame(signalOf(limited), NO_SIGNAL)
  t.equal(served.length, 1)
}

async function testLargeHeaders(t: Test, proxy: ProxyName): Promise<void> {
  const long = () => ({ text: 'x'.repeat(5_000) })
  const options = { jwt: { secret: 'a secret of large tokens, 32 bytes', claims: long }, routes: { verify: {} } }
  const { authenticator, visit, open, served } = await startScene(t, proxy, { options, claims: long })
  const { token } = await open('\uffff'.repeat(256))
  t.ok(token.length > 6_500)
  t.equal((await visit('/', { token })).status, 200)
  t.ok(String(served[0]?.headers['session-token']).length > 6_500)
  for (const kilobytes of [10, 15, 17, 40, 100, 2_000]) {
    served.length = 0
    const answer = await visit('/', { headers: { cookie: `a=${'x'.repeat(kilobytes * 1_024)}` } }).catch(() => null)
    t.ok(answer === null || answer.status >= 400, `${kilobytes} KB`)
    if (answer !== null) t.strictSame(signalOf(answer), NO_SIGNAL)
    t.strictSame(served, [])
  }
  t.ok(authenticator.server.listening)
}
