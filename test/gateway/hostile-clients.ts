import type { FastifyServerOptions } from 'fastify'
import type { Test } from 'tap'
import { createFaults } from '../fixtures/faults.js'
import type { ProxyName } from './programs.js'
import { NO_REQUEST, startScene } from './scene.js'

/** Spellings of a path that the router of the application may accept. */
export const LENIENT = {
  routerOptions: {
    caseSensitive: false,
    ignoreDuplicateSlashes: true,
    ignoreTrailingSlash: true
  }
}

/** No spelling of the path, and no method, brings a client to the verify route. */
export async function testHidden(t: Test, proxy: ProxyName, server: FastifyServerOptions): Promise<void> {
  const { send, open, served } = await startScene(t, proxy, { server })
  const { token } = await open()
  const faults = createFaults()
  const paths = [
    ...[
      '/user/verify',
      '/user/verify?',
      '/user/verify?optional=true',
      '/user/verify/',
      '/user//verify',
      '//user/verify'
    ],
    ...['/user/./verify', '/user/x/../verify', '/user/%76erify', '/user%2fverify', '/user/verify%2f', '/user/verify;x'],
    ...[
      '/user///Verify',
      '/user/%56erify',
      '/user/V%65rify',
      '/user/verif%59?x',
      '/user/x/..;/verify',
      '/user/verify;a=b'
    ],
    ...['/user/verify%00', '/user/verify%20', '/user/verify%3f', '/USER/verify', '/user/Verify', 'http://a/user/verify']
  ]
  for (const path of paths) {
    for (const method of ['GET', 'OPTIONS']) {
      served.length = 0
      const { status, headers } = await send(`${method} ${path}`, [`Authorization: Bearer ${token}`])
      // nginx takes a path in capitals for a path of the service.
      faults.compare(path, status === 404 || status === 400 || served.length === 1, true)
      faults.note(
        path,
        headers.filter(([name]) => /^session-/.test(name)).map(([name]) => name)
      )
    }
  }
  faults.assertNone(t)
}

/** Header lines by which a client may try to be another user. */
const FORGERIES: Record<string, string[]> = {
  'the names': ['Session-User: root', 'Session-Token: forged'],
  'lower case': ['session-user: root', 'session-token: forged'],
  twice: ['Session-User: root', 'Session-User: admin'],
  'underscores, as CGI reads them': ['Session_User: root', 'session_token: forged'],
  'other separators, as PHP and lighttpd read them': [
    'Session.User: root',
    'Session~User: root',
    'SESSION.TOKEN: forged'
  ],
  mixed: ['session-User: root', 'SESSION_USER: root', 'SESSION-TOKEN: forged', 'Session_Token: forged'],
  empty: ['Session-User: ', 'Session-Token: '],
  'white space before the colon': ['Session-User : root'],
  'a folded line': ['X-A: b', ' Session-User: root']
}

/** The service sees the user of the session and no header line of the client that could be taken for the user. */
export async function testForged(t: Test, proxy: ProxyName): Promise<void> {
  const { send, open, served } = await startScene(t, proxy)
  const { token } = await open()
  const faults = createFaults()
  const authorization = `Authorization: Bearer ${token}`
  for (const [name, lines] of Object.entries(FORGERIES)) {
    for (const [line, user] of [
      ['GET /', 'ada'],
      ['OPTIONS /', undefined]
    ] as const) {
      served.length = 0
      const { status } = await send(line, [authorization, 'Cookie: a=b', ...lines])
      if (status === 400) continue
      const { headers } = served[0] ?? NO_REQUEST
      faults.compare(`${name}: ${line}`, [status, headers['session-user'] || undefined], [200, user])
      const isForged = ([name, value]: [string, unknown]) => name !== 'x-a' && /root|admin|forged/.test(String(value))
      const others = Object.entries(headers).filter(isForged)
      faults.compare(`${name}: others`, [others, headers.authorization, headers.cookie], [[], undefined, undefined])
    }
  }
  // A header that `Connection` names belongs to one connection: proxies remove it.
  for (const value of ['Session-User', 'close, session-user, Session-Token', 'Session-User, Upgrade']) {
    served.length = 0
    const { status } = await send('GET /', [authorization, `Connection: ${value}`])
    faults.compare(value, status === 400 || served[0]?.headers['session-user'] === 'ada', true)
  }
  faults.compare('without a session', (await send('GET /', ['Session-User: root'])).status, 401)
  faults.assertNone(t)
}
