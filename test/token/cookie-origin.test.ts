import type { IncomingMessage } from 'node:http'
import fastifyWebsocket from '@fastify/websocket'
import t, { type Test } from 'tap'
import { verifySession } from '../../lib/index.js'
import {
  type CookieApp,
  type CookieRequest,
  type CookieVisit,
  credentialsOf,
  LISTED,
  type OpenedSession,
  startCookieApp
} from '../fixtures/cookie-app.js'
import { createFaults } from '../fixtures/faults.js'

interface Page {
  lines: string[]
  /** Whether the page may write by the cookie. */
  mayWrite: boolean
}

const OWN = 'https://app.example'
const SIBLING = 'https://blog.app.example'
const OTHER = 'https://evil.example'

function page(mayWrite: boolean, ...lines: string[]): Page {
  return { lines, mayWrite }
}

function fetched(site: string, origin?: string): string[] {
  return [`Sec-Fetch-Site: ${site}`, ...(origin === undefined ? [] : [`Origin: ${origin}`])]
}

/** The rows of the contract. */
const PAGES: Record<string, Page> = {
  'the own page': page(true, ...fetched('same-origin', OWN)),
  'the own page in a browser before 2023': page(true, `Origin: ${OWN}`),
  'a listed origin': page(true, ...fetched('same-site', LISTED)),
  'a sibling': page(false, ...fetched('same-site', SIBLING)),
  'another port of the host': page(false, ...fetched('same-site', `${OWN}:8443`)),
  'another site': page(false, ...fetched('cross-site', OTHER)),
  'a sandboxed iframe, or a chain of redirects': page(false, ...fetched('cross-site', 'null')),
  'a program with a copied cookie': page(false),
  'an address that the user typed': page(true, ...fetched('none'))
}

const HOSTS: Record<string, Page> = {
  'a default port in Origin': page(true, `Origin: ${OWN}:443`),
  'a default port in Host': page(true, 'Host: app.example:443', `Origin: ${OWN}`),
  'a default port of HTTP': page(true, 'Host: app.example:80', 'Origin: http://app.example'),
  'a default port of the other scheme': page(false, 'Host: app.example:443', 'Origin: http://app.example'),
  'HTTP behind a proxy with TLS': page(true, 'Origin: http://app.example'),
  'a port': page(true, 'Host: app.example:8443', `Origin: ${OWN}:8443`),
  'a Host in capitals': page(true, 'Host: APP.Example', `Origin: ${OWN}`),
  'an IPv6 address': page(true, 'Host: [::1]:3000', 'Origin: http://[::1]:3000'),
  'an IPv6 address in another spelling': page(true, 'Host: [0:0::1]:3000', 'Origin: http://[::1]:3000'),
  'another IPv6 address': page(false, 'Host: [::1]:3000', 'Origin: http://[::2]:3000'),
  'another port of an IPv6 address': page(false, 'Host: [::1]:3000', 'Origin: http://[::1]:3001'),
  'another port': page(false, `Origin: ${OWN}:8443`),
  'a subdomain': page(false, `Origin: ${SIBLING}`),
  'a domain above': page(false, 'Origin: https://example'),
  'a host that begins alike': page(false, 'Origin: https://app.example.evil.example'),
  'a host that ends alike': page(false, 'Origin: https://evilapp.example'),
  'a host behind a user': page(false, 'Origin: https://app.example@evil.example'),
  'a host in the path': page(false, 'Origin: https://evil.example/app.example'),
  'a forwarded host without trustProxy': page(false, `X-Forwarded-Host: evil.example`, `Origin: ${OTHER}`),
  'a host with a path': page(false, 'Host: app.example/x', `Origin: ${OWN}`),
  'two Host lines': page(false, 'Host: app.example', 'Host: evil.example', `Origin: ${OTHER}`)
}

const FORGERIES: Record<string, Page> = {
  'Origin null': page(false, 'Origin: null'),
  'an empty Origin': page(false, 'Origin: '),
  'two Origin lines': page(false, `Origin: ${OWN}`, `Origin: ${OTHER}`),
  'two Origin lines, both of the own page': page(false, `Origin: ${OWN}`, `Origin: ${OWN}`),
  'two origins in one line': page(false, `Origin: ${OWN} ${OTHER}`),
  'an origin of no web page': page(false, 'Origin: chrome-extension://app.example'),
  'Sec-Fetch-Site in another case': page(false, 'Sec-Fetch-Site: Same-Origin'),
  'Sec-Fetch-Site in capitals': page(false, 'Sec-Fetch-Site: NONE', `Origin: ${OWN}`),
  'an empty Sec-Fetch-Site': page(false, 'Sec-Fetch-Site: ', `Origin: ${OWN}`),
  'an unknown Sec-Fetch-Site': page(false, 'Sec-Fetch-Site: same-planet', `Origin: ${OWN}`),
  'Sec-Fetch-Site twice': page(false, 'Sec-Fetch-Site: same-origin', 'Sec-Fetch-Site: same-origin'),
  'Sec-Fetch-Site twice, with two values': page(false, 'Sec-Fetch-Site: none', 'Sec-Fetch-Site: cross-site'),
  'Sec-Fetch-Site against Origin': page(false, ...fetched('cross-site', OWN)),
  'a Referer of the own page': page(false, `Referer: ${OWN}/account`),
  'headers of scripts': page(false, 'X-Requested-With: XMLHttpRequest', 'X-CSRF-Token: x', 'Sec-Fetch-Mode: cors'),
  'another method in a header': page(
    false,
    'X-HTTP-Method-Override: GET',
    'X-HTTP-Method: GET',
    'X-Method-Override: GET'
  ),
  'the listed origin without Sec-Fetch-Site': page(true, `Origin: ${LISTED}`),
  'the listed origin from another site': page(true, ...fetched('cross-site', LISTED)),
  'the listed origin over HTTP': page(false, `Origin: ${LISTED.replace('https', 'http')}`),
  'the listed origin with a port': page(false, `Origin: ${LISTED}:8443`),
  'the listed origin with its default port': page(false, `Origin: ${LISTED}:443`),
  'the listed origin with a slash': page(false, `Origin: ${LISTED}/`),
  'the listed origin in capitals': page(false, `Origin: ${LISTED.toUpperCase()}`),
  'the listed origin, twice': page(false, `Origin: ${LISTED}`, `Origin: ${LISTED}`),
  'the listed origin, and another': page(false, `Origin: ${LISTED}`, `Origin: ${OTHER}`),
  'a host that begins as the listed origin': page(false, `Origin: ${LISTED}.evil.example`)
}

const ALL_PAGES = { ...PAGES, ...HOSTS, ...FORGERIES }

/** Every request that writes by the cookie, or changes the cookie. */
function writesOf(userId: string): Record<string, CookieRequest> {
  const body = credentialsOf(userId)
  return {
    'a guarded POST': { line: 'POST /me' },
    'a guarded DELETE': { line: 'DELETE /me' },
    'a POST with a form': { line: 'POST /me', lines: ['Content-Type: text/plain'] },
    'the end of all other sessions': { line: 'DELETE /user/sessions' },
    'an optional POST': { line: 'POST /optional' },
    'an upgrade': { line: 'GET /me', lines: ['Connection: Upgrade', 'Upgrade: websocket'] },
    'an upgrade that a proxy has cut': { line: 'GET /me', lines: ['Upgrade: h2c'] },
    login: { line: 'POST /user/login', body },
    registration: { line: 'POST /user/register', body },
    logout: { line: 'POST /user/logout' },
    'a login of the application': { line: `POST /magic?user=${userId}` }
  }
}

function effectsOf({ response, code, setCookies, clearSignal, storeCalls, upstreamCalls }: CookieVisit) {
  return { status: response.status, code, setCookies, clearSignal, storeCalls, upstreamCalls }
}

const REFUSED = {
  status: 403,
  code: 'FST_JWT_SESSION_CROSS_SITE',
  setCookies: [],
  clearSignal: [],
  storeCalls: [],
  upstreamCalls: 0
}

/** The faults in the response to a write. */
async function faultsOfWrite({ app }: CookieApp, visit: CookieVisit, opened: OpenedSession, mayWrite: boolean) {
  const { status } = visit.response
  if (mayWrite) return status < 300 ? [] : [`answered ${status} ${visit.code}`]
  const isLive = (await app.sessions.find(opened.session.id)) !== null
  return [
    ...(JSON.stringify(effectsOf(visit)) === JSON.stringify(REFUSED) ? [] : [JSON.stringify(effectsOf(visit))]),
    ...(isLive ? [] : ['the session has ended'])
  ]
}

async function assertPages(t: Test, target: CookieApp, pages: Record<string, Page>): Promise<void> {
  const faults = createFaults()
  for (const [name, { lines, mayWrite }] of Object.entries(pages)) {
    for (const what of Object.keys(writesOf(''))) {
      const opened = await target.open()
      const request = writesOf(opened.session.user.id)[what] ?? { line: '' }
      const visit = await target.send({ ...request, lines: [...(request.lines ?? []), opened.line, ...lines] })
      faults.note(`${what} from ${name}`, await faultsOfWrite(target, visit, opened, mayWrite))
    }
  }
  faults.assertNone(t)
}

t.test('a write by the cookie is accepted only from own pages, and a refused write has no effect', async (t) => {
  const target = await startCookieApp(t)
  await t.test('the pages of the documented table are accepted or refused as documented', (t) =>
    assertPages(t, target, PAGES)
  )
  await t.test('pages of other hosts and ports are refused', (t) => assertPages(t, target, HOSTS))
  await t.test('forged and repeated headers do not make a page an own page', (t) => assertPages(t, target, FORGERIES))
})

t.test('a login, a registration and a logout of a foreign page are refused also without a cookie', async (t) => {
  const { app, send } = await startCookieApp(t)
  const faults = createFaults()
  for (const name of ['login', 'registration', 'logout', 'a login of the application']) {
    for (const lines of [fetched('cross-site', OTHER), fetched('same-site', SIBLING), []]) {
      const visit = await send({ ...(writesOf('ada')[name] ?? { line: '' }), lines })
      faults.compare(`${name} from ${lines}`, effectsOf(visit), REFUSED)
    }
  }
  faults.assertNone(t)
  t.strictSame(await app.sessions.list('ada'), [])
})

t.test('the error reply is not cached, has no challenge, and ends no session', async (t) => {
  const { send, open } = await startCookieApp(t)
  const { line } = await open()
  for (const what of ['POST /me', 'POST /user/logout']) {
    const { response } = await send({ line: what, lines: [line, ...fetched('cross-site', OTHER)] })
    t.equal(
      response.body,
      '{"statusCode":403,"code":"FST_JWT_SESSION_CROSS_SITE","error":"Forbidden","message":"The request came from a page of another origin"}'
    )
    const names = response.headers.map(([name]) => name).filter((name) => name !== 'date')
    t.strictSame(names.toSorted(), ['cache-control', 'connection', 'content-length', 'content-type', 'keep-alive'])
  }
  t.equal((await send({ line: 'GET /me', lines: [line] })).response.status, 200)
})

t.test('a read by the cookie is accepted from all pages', async (t) => {
  const { send, open } = await startCookieApp(t)
  const faults = createFaults()
  for (const [name, { lines }] of Object.entries(PAGES)) {
    for (const what of [
      'GET /me',
      'HEAD /me',
      'OPTIONS /me',
      'GET /optional',
      'GET /user/session',
      'GET /user/sessions'
    ]) {
      const { line } = await open()
      const { response } = await send({ line: what, lines: [line, ...lines] })
      faults.compare(`${what} from ${name}`, response.status, 200)
    }
  }
  faults.assertNone(t)
})

t.test('app.sessions.login() in a GET route is accepted from all pages', async (t) => {
  const { app, send, open } = await startCookieApp(t)
  const { line, session } = await open('ada')
  const visit = await send({ line: 'GET /magic?user=ada', lines: [line, ...fetched('cross-site')] })
  t.equal(visit.response.status, 200)
  t.equal(visit.setCookies.length, 1)
  t.equal(await app.sessions.find(session.id), null)
})

t.test('the origin of a request with a bearer token is not checked', async (t) => {
  const target = await startCookieApp(t)
  const faults = createFaults()
  for (const [name, { lines }] of Object.entries(PAGES)) {
    for (const what of Object.keys(writesOf(''))) {
      const { session, token, line } = await target.open()
      const request = writesOf(session.user.id)[what] ?? { line: '' }
      const bearer = `Authorization: Bearer ${token}`
      const withBoth = [...(request.lines ?? []), line, bearer, ...lines]
      const { response } = await target.send({ ...request, lines: withBoth })
      faults.compare(`${what} from ${name}`, response.status < 300, true)
    }
  }
  faults.assertNone(t)
})

t.test('a client that asks for a bearer token may log in, register and log out without an origin', async (t) => {
  const { send } = await startCookieApp(t)
  for (const value of ['bearer', 'Bearer', 'BEARER']) {
    for (const name of ['login', 'registration', 'logout', 'a login of the application']) {
      const request = writesOf('ada')[name] ?? { line: '' }
      const { response } = await send({ ...request, lines: [`Session-Transport: ${value}`] })
      t.ok(response.status < 300, `${name}: ${response.status}`)
    }
  }
  for (const value of ['', 'cookie', 'bearer,bearer', 'bearer x', 'bearers', 'null']) {
    const visit = await send({ line: 'POST /user/logout', lines: [`Session-Transport: ${value}`] })
    t.equal(visit.code, 'FST_JWT_SESSION_CROSS_SITE', value)
  }
})

t.test('a request for a bearer token does not allow a write by the cookie', async (t) => {
  const { send, open } = await startCookieApp(t)
  const { line } = await open()
  const lines = [line, 'Session-Transport: bearer', ...fetched('same-site', SIBLING)]
  t.strictSame(effectsOf(await send({ line: 'POST /me', lines })), REFUSED)
})

t.test('an Authorization header without a bearer token does not replace the check', async (t) => {
  const { send, open } = await startCookieApp(t)
  const { line } = await open()
  for (const value of [
    'Basic YWRhOng=',
    'Bearer',
    'Bearer null',
    'Bearer undefined',
    'Bearer   ',
    'bearer\t',
    'Digest x'
  ]) {
    for (const what of ['POST /me', 'POST /user/logout']) {
      const lines = [line, `Authorization: ${value}`, ...fetched('cross-site', OTHER)]
      t.strictSame(effectsOf(await send({ line: what, lines })), REFUSED, `${what} ${value}`)
    }
  }
})

t.test('the host of a trusted proxy is the host of the page', async (t) => {
  const { send, open } = await startCookieApp(t, { server: { trustProxy: true } })
  const statusOf = async (...lines: string[]) =>
    (await send({ line: 'POST /me', lines: [(await open()).line, ...lines] })).response.status
  t.equal(await statusOf('Host: 10.0.0.1:3000', 'X-Forwarded-Host: app.example', `Origin: ${OWN}`), 200)
  t.equal(await statusOf('Host: 10.0.0.1:3000', 'X-Forwarded-Host: app.example', `Origin: ${OTHER}`), 403)
  t.equal(await statusOf('Host: 10.0.0.1:3000', `Origin: ${OWN}`), 403)
})

t.test('the check uses the method after a rewrite in front of Fastify', async (t) => {
  const rewriteUrl = (request: IncomingMessage) => {
    const [, method, path = request.url ?? '/'] = /^\/as-(\w+)(\/.*)$/.exec(request.url ?? '') ?? []
    if (method !== undefined) request.method = method
    return path
  }
  const { send, open } = await startCookieApp(t, { server: { rewriteUrl } })
  const { line } = await open()
  const lines = [line, ...fetched('cross-site', OTHER)]
  t.strictSame(effectsOf(await send({ line: 'GET /as-DELETE/me', lines })), REFUSED)
  t.equal((await send({ line: 'GET /me', lines })).response.status, 200)
})

t.test('a WebSocket is opened by own pages only', async (t) => {
  const opened: string[] = []
  const { send, open } = await startCookieApp(t, {
    before: (app) => app.register(fastifyWebsocket),
    after: (app) =>
      app.get('/socket', { websocket: true, preValidation: verifySession }, (socket, request) => {
        opened.push(request.session.user.id)
        socket.close()
      })
  })
  const handshake = [
    ...['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13'],
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
  ]
  for (const [name, { lines, mayWrite }] of Object.entries(ALL_PAGES)) {
    const { line, session } = await open()
    const visit = await send({ line: 'GET /socket', lines: [...handshake, line, ...lines] })
    if (mayWrite) t.match([visit.response.status, opened.pop()], [101, session.user.id], name)
    else t.strictSame(effectsOf(visit), REFUSED, name)
  }
  t.strictSame(opened, [])
})
