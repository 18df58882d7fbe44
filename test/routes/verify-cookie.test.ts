import t from 'tap'
import { COOKIE, LISTED, startCookieApp } from '../fixtures/cookie-app.js'
import { createFaults } from '../fixtures/faults.js'
import { valuesOf } from '../fixtures/raw-http.js'

const options = { routes: { verify: {} } }
const line = 'GET /user/verify'

const OWN = 'Origin: https://app.example'
const SIBLING = ['Sec-Fetch-Site: same-site', 'Origin: https://blog.app.example']

/** Header lines of a proxy, by whether the client's request is a read. */
const METHODS: Record<string, { isRead: boolean; lines: string[] }> = {
  'X-Forwarded-Method': { isRead: true, lines: ['X-Forwarded-Method: GET'] },
  'X-Original-Method': { isRead: true, lines: ['X-Original-Method: HEAD'] },
  OPTIONS: { isRead: true, lines: ['X-Forwarded-Method: OPTIONS'] },
  'both, the same': { isRead: true, lines: ['X-Forwarded-Method: GET', 'X-Original-Method: GET'] },
  'both, two reads': { isRead: true, lines: ['X-Forwarded-Method: GET', 'X-Original-Method: HEAD'] },
  'none, as if the proxy did not tell': { isRead: false, lines: [] },
  POST: { isRead: false, lines: ['X-Forwarded-Method: POST'] },
  'an unknown method': { isRead: false, lines: ['X-Forwarded-Method: QUERY'] },
  'an extended CONNECT': { isRead: false, lines: ['X-Forwarded-Method: CONNECT'] },
  'lower case': { isRead: false, lines: ['X-Forwarded-Method: get'] },
  empty: { isRead: false, lines: ['X-Forwarded-Method: '] },
  'empty beside a read': { isRead: false, lines: ['X-Forwarded-Method: ', 'X-Original-Method: GET'] },
  'the client sends the first, the proxy the second': {
    isRead: false,
    lines: ['X-Forwarded-Method: GET', 'X-Original-Method: DELETE']
  },
  'the client sends the second, the proxy the first': {
    isRead: false,
    lines: ['X-Original-Method: GET', 'X-Forwarded-Method: PUT']
  },
  'two lines, the proxy appends': { isRead: false, lines: ['X-Forwarded-Method: GET', 'X-Forwarded-Method: POST'] },
  'two lines, two reads': { isRead: false, lines: ['X-Forwarded-Method: GET', 'X-Forwarded-Method: GET'] },
  'a list': { isRead: false, lines: ['X-Forwarded-Method: GET, GET'] },
  'a header with another name': { isRead: false, lines: ['X-Http-Method-Override: GET', 'X_Forwarded_Method: GET'] },
  'an upgrade': { isRead: false, lines: ['X-Forwarded-Method: GET', 'Upgrade: websocket'] },
  'a WebSocket without its Upgrade, which the proxy has dropped': {
    isRead: false,
    lines: ['X-Forwarded-Method: GET', 'Sec-WebSocket-Version: 13']
  },
  'a WebSocket with its key': { isRead: false, lines: ['X-Forwarded-Method: GET', 'Sec-WebSocket-Key: x'] }
}

t.test('the method of the client decides whether a page of another origin is let through', async (t) => {
  const { send, open } = await startCookieApp(t, { options })
  const { line: cookie, token } = await open('ada')
  const faults = createFaults()
  for (const [name, { isRead, lines }] of Object.entries(METHODS)) {
    const foreign = await send({ line, lines: [cookie, ...lines, ...SIBLING] })
    const own = await send({ line, lines: [cookie, ...lines, OWN] })
    const byBearer = await send({ line, lines: [`Authorization: Bearer ${token}`, ...lines, ...SIBLING] })
    faults.compare(name, foreign.response.status, isRead ? 204 : 403)
    // With the cache only the first read reaches the store.
    if (!isRead || process.env.SESSION_CACHE !== 'on') {
      faults.compare(`${name}: store`, foreign.storeCalls.length > 0, isRead)
    }
    faults.compare(`${name}: own`, own.response.status, 204)
    faults.compare(`${name}: bearer`, byBearer.response.status, 204)
    if (isRead) continue
    faults.compare(`${name}: code`, foreign.code, 'FST_JWT_SESSION_CROSS_SITE')
    faults.compare(`${name}: signal`, foreign.clearSignal, [])
    faults.compare(`${name}: user`, valuesOf(foreign.response, 'session-user'), [])
  }
  faults.assertNone(t)
})

t.test('the method of the request itself tells nothing: the proxy chooses the method', async (t) => {
  const { send, open } = await startCookieApp(t, { options })
  const { line: cookie } = await open()
  const faults = createFaults()
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'POST', 'DELETE']) {
    const url = `${method} /user/verify`
    const unknown = await send({ line: url, lines: [cookie, ...SIBLING] })
    const read = await send({ line: url, lines: [cookie, ...SIBLING, 'X-Forwarded-Method: GET'] })
    faults.compare(method, [unknown.response.status, read.response.status], [403, 204])
  }
  faults.assertNone(t)
})

t.test(
  'the origin is compared with the Host that the proxy passes on, or with X-Forwarded-Host if trusted',
  async (t) => {
    const write = 'X-Forwarded-Method: POST'
    const forwarded = ['Host: 10.0.0.1:3000', 'X-Forwarded-Host: app.example', OWN]
    const cases: [name: string, trustProxy: boolean, lines: string[], status: number][] = [
      ['Host as the client sent it', false, [OWN], 204],
      ['Host of the authenticator', false, forwarded, 403],
      [
        'Host of the authenticator, with a browser that tells the site',
        false,
        [...forwarded, 'Sec-Fetch-Site: same-origin'],
        204
      ],
      ['X-Forwarded-Host of Traefik', true, forwarded, 204],
      ['a listed origin', false, [`Origin: ${LISTED}`, 'Host: 10.0.0.1:3000'], 204],
      ['no header of a browser', false, [], 403]
    ]
    const faults = createFaults()
    for (const [name, trustProxy, lines, status] of cases) {
      const { send, open } = await startCookieApp(t, { options, server: { trustProxy } })
      const { line: cookie } = await open()
      const { response } = await send({ line, lines: [cookie, write, ...lines] })
      faults.compare(name, response.status, status)
    }
    faults.assertNone(t)
  }
)

t.test('two cookies of the name, and a cookie of an ended session', async (t) => {
  const { app, send, open } = await startCookieApp(t, { options })
  const { session, line: cookie, token } = await open()
  const read = ['X-Forwarded-Method: GET', 'Sec-Fetch-Site: same-origin']
  const two = await send({ line, lines: [`Cookie: ${COOKIE}=${token}; ${COOKIE}=${token}`, ...read] })
  t.equal(two.code, 'FST_JWT_SESSION_MISSING')
  await app.sessions.revoke(session.id)
  const ended = await send({ line, lines: [cookie, ...read] })
  t.equal(ended.response.status, 401)
  t.strictSame(ended.clearSignal, ['"storage"', 'revoked'])
  t.strictSame(ended.setCookies, [])
})
