import type { InjectOptions } from 'fastify'
import t from 'tap'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { upstream } from '../fixtures/tokens.js'

const HOST = 'app.example'

interface Page {
  headers: Record<string, string>
  /** Whether the answer comes from the origin of the page. */
  isSameOrigin: boolean
}

const PAGES: Record<string, Page> = {
  'no header of a browser': { headers: {}, isSameOrigin: true },
  'the same origin': { headers: { 'sec-fetch-site': 'same-origin' }, isSameOrigin: true },
  'a typed address': { headers: { 'sec-fetch-site': 'none' }, isSameOrigin: true },
  'another origin of the same site': { headers: { 'sec-fetch-site': 'same-site' }, isSameOrigin: false },
  'another site': { headers: { 'sec-fetch-site': 'cross-site' }, isSameOrigin: false },
  'an unknown value': { headers: { 'sec-fetch-site': 'same-planet' }, isSameOrigin: false },
  'an empty value': { headers: { 'sec-fetch-site': '' }, isSameOrigin: false },
  'two values': { headers: { 'sec-fetch-site': 'same-origin, cross-site' }, isSameOrigin: false },
  'a value that Origin contradicts': {
    headers: { 'sec-fetch-site': 'cross-site', origin: `https://${HOST}` },
    isSameOrigin: false
  },
  'an Origin with the host': { headers: { origin: `https://${HOST}` }, isSameOrigin: true },
  'an Origin with the host, over HTTP': { headers: { origin: `http://${HOST}` }, isSameOrigin: true },
  'a host with the default port': { headers: { host: `${HOST}:443`, origin: `https://${HOST}` }, isSameOrigin: true },
  'an Origin with the default port': { headers: { origin: `https://${HOST}:443` }, isSameOrigin: true },
  'a host in capitals': { headers: { host: 'App.Example', origin: `https://${HOST}` }, isSameOrigin: true },
  'a port': { headers: { host: `${HOST}:8443`, origin: `https://${HOST}:8443` }, isSameOrigin: true },
  'an IPv6 address': { headers: { host: '[::1]:3000', origin: 'http://[::1]:3000' }, isSameOrigin: true },
  'another port': { headers: { origin: `https://${HOST}:8443` }, isSameOrigin: false },
  'the default port of another scheme': {
    headers: { host: `${HOST}:443`, origin: `http://${HOST}` },
    isSameOrigin: false
  },
  'a subdomain': { headers: { origin: `https://www.${HOST}` }, isSameOrigin: false },
  'a host with the same beginning': { headers: { origin: `https://${HOST}.evil.example` }, isSameOrigin: false },
  'an opaque origin': { headers: { origin: 'null' }, isSameOrigin: false },
  'an empty Origin': { headers: { origin: '' }, isSameOrigin: false },
  'an extension with the host as id': { headers: { origin: `chrome-extension://${HOST}` }, isSameOrigin: false },
  'a file': { headers: { origin: 'file://' }, isSameOrigin: false },
  'two origins': { headers: { origin: `https://${HOST}, https://evil.example` }, isSameOrigin: false },
  'two origins, separated by a space': {
    headers: { origin: `https://${HOST} https://evil.example` },
    isSameOrigin: false
  },
  'an origin with a path': { headers: { origin: `https://${HOST}/` }, isSameOrigin: false },
  'an origin with a user': { headers: { origin: `https://${HOST}@evil.example` }, isSameOrigin: false },
  'a host with a path': { headers: { host: `${HOST}/x`, origin: `https://${HOST}` }, isSameOrigin: false },
  'an invalid host': { headers: { host: '%', origin: 'https://%' }, isSameOrigin: false }
}

function from({ headers }: Page, request: InjectOptions): InjectOptions {
  return { ...request, headers: { host: HOST, ...request.headers, ...headers } }
}

t.test('Clear-Site-Data is sent only to pages on the origin of the answer', async (t) => {
  const app = await createApp(t, { upstream })
  const expected: Record<string, unknown> = {}
  const seen: Record<string, unknown> = {}
  for (const [name, page] of Object.entries(PAGES)) {
    const clearSiteData = page.isSameOrigin ? '"storage"' : undefined
    for (const [kind, request] of Object.entries({
      'a logout': logout('garbage'),
      'a logout without a token': { method: 'POST', url: '/user/logout' } as const,
      'an ended session': withToken('garbage')
    })) {
      const { headers } = await app.inject(from(page, request))
      const reason = kind === 'an ended session' ? 'invalid_token' : 'logged_out'
      expected[`${kind}: ${name}`] = { clearSiteData, ended: reason, exposed: 'Session-Ended' }
      seen[`${kind}: ${name}`] = {
        clearSiteData: headers['clear-site-data'],
        ended: headers['session-ended'],
        exposed: headers['access-control-expose-headers']
      }
    }
    const token = await logIn(app, 'ada')
    const login = await app.inject(
      from(page, withToken(token, { method: 'POST', url: '/user/login', payload: { username: 'bob', password: 'x' } }))
    )
    expected[`the login of another user: ${name}`] = { statusCode: 200, clearSiteData, ended: undefined }
    seen[`the login of another user: ${name}`] = {
      statusCode: login.statusCode,
      clearSiteData: login.headers['clear-site-data'],
      ended: login.headers['session-ended']
    }
  }
  t.strictSame(seen, expected)
})

t.test('with clearSiteData: false no answer has Clear-Site-Data', async (t) => {
  const app = await createApp(t, { upstream, clearSiteData: false })
  const token = await logIn(app, 'ada')
  const login = withToken(token, { method: 'POST', url: '/user/login', payload: { username: 'bob', password: 'x' } })
  for (const request of [login, logout(token)]) {
    const answer = await app.inject(request)
    t.ok(answer.statusCode < 300)
    t.equal(answer.headers['clear-site-data'], undefined)
  }
})

t.test('a login, and a refusal without evidence of an end, have no clear signal', async (t) => {
  const app = await createApp(t, { upstream })
  const token = await logIn(app, 'ada')
  const again = { method: 'POST', url: '/user/login', payload: { username: 'ada', password: 'x' } } as const
  for (const request of [{ url: '/me' }, again, withToken(token, again)]) {
    const { headers } = await app.inject(request)
    t.equal(headers['clear-site-data'], undefined)
    t.equal(headers['session-ended'], undefined)
  }
})

t.test('a late answer about a session that a login of the same user has replaced has no clear signal', async (t) => {
  const app = await createApp(t, { upstream })
  const token = await logIn(app, 'ada')
  await logIn(app, 'ada', { authorization: `Bearer ${token}` })
  const answer = await app.inject(withToken(token, { url: '/me', headers: { 'sec-fetch-site': 'same-origin' } }))
  t.match(answer.json(), { statusCode: 401, code: 'FST_JWT_SESSION_ENDED', reason: 'logged_in_again' })
  t.equal(answer.headers['clear-site-data'], undefined)
  t.equal(answer.headers['session-ended'], undefined)
  t.equal(answer.headers['www-authenticate'], 'Bearer realm="session", error="invalid_token"')
})

t.test(
  'an answer to `Session-Client: 1` keeps Session-Ended without Clear-Site-Data: the client deletes the data',
  async (t) => {
    const app = await createApp(t, { upstream })
    const token = await logIn(app, 'ada')
    const login = withToken(token, { method: 'POST', url: '/user/login', payload: { username: 'bob', password: 'x' } })
    const requests = {
      ended: [withToken('garbage'), 'invalid_token'],
      login: [login, undefined],
      logout: [logout(token), 'logged_out']
    }
    for (const [name, [request, reason]] of Object.entries(requests) as [string, [InjectOptions, string?]][]) {
      for (const [value, isCleared] of [
        ['1', false],
        ['0', true],
        ['', true],
        ['1, 1', true]
      ] as const) {
        const { headers } = await app.inject({ ...request, headers: { ...request.headers, 'session-client': value } })
        t.equal(headers['clear-site-data'], isCleared ? '"storage"' : undefined, `${name}, ${value}`)
        t.equal(headers['session-ended'], reason)
      }
    }
  }
)
