import t from 'tap'
import { valuesOf } from '../fixtures/raw-http.js'
import { assertNoClearSignal, COOKIE, createProxyScene } from './proxy-scene.js'
import { spellingsOf } from './start-service.js'

t.test('the service gets the id of the user, and neither the token nor the cookie of the session', async (t) => {
  const { service, token, send } = await createProxyScene(t, { userId: 'Ada ✓\nx: y' })
  const { status } = await send('GET /orders/7?a=1&b=%20', [`Cookie: a=b; ${COOKIE}=${token}; c=d`])
  t.equal(status, 200)
  const [{ line = '', rawHeaders = [] } = {}] = service.requests
  t.equal(line, 'GET /7?a=1&b=%20')
  t.strictSame(spellingsOf(rawHeaders, 'session-user'), ['Ada%20%E2%9C%93%0Ax%3A%20y'])
  t.strictSame(spellingsOf(rawHeaders, 'cookie'), ['a=b; c=d'])
  t.notMatch(rawHeaders.join('\n'), token)
})

t.test('a stranger gets the answer of the guard, and the service gets nothing', async (t) => {
  const { app, service, url, token, sessionId, send } = await createProxyScene(t)
  const stranger = await fetch(`${url}/orders/7`, { method: 'POST', headers: { 'session-user': 'ada' }, body: 'x' })
  t.equal(stranger.status, 401)
  t.equal(stranger.headers.get('session-ended'), null)
  const otherPage = { cookie: `${COOKIE}=${token}`, 'sec-fetch-site': 'cross-site' }
  t.equal((await fetch(`${url}/orders/7`, { method: 'POST', headers: otherPage, body: 'x' })).status, 403)
  await app.sessions.revoke(sessionId)
  const ended = await send('GET /orders/7')
  t.equal(ended.status, 401)
  t.strictSame(valuesOf(ended, 'session-ended'), ['revoked'])
  t.strictSame(valuesOf(ended, 'clear-site-data'), ['"storage"'])
  t.strictSame(service.requests, [])
})

t.test('no spelling of the identity gets through, and the user of the session stays', async (t) => {
  const { service, send } = await createProxyScene(t)
  const smuggled = [
    ['session-user: eve'],
    ['Session-User: eve'],
    ['SESSION-USER: eve'],
    ['session_user: eve'],
    ['Session_User: eve', 'session.user: eve', 'session~user: eve', 'session!user: eve'],
    ['session-user: eve', 'session-user: mallory', 'Session-User: trudy'],
    ['Session-User: eve', 'Connection: session-user'],
    ['Connection: close, Session-User', 'Session-User: eve'],
    ['Connection: x-one', 'Connection: session-user', 'X-One: 1'],
    ['Session-Token: eve', 'session_token: eve']
  ]
  for (const lines of smuggled) {
    const label = lines.join(', ')
    t.equal((await send('GET /orders/7', lines)).status, 200, label)
    const { rawHeaders = [] } = service.requests.at(-1) ?? {}
    t.strictSame(spellingsOf(rawHeaders, 'session-user'), ['ada'], label)
    t.strictSame(spellingsOf(rawHeaders, 'session-token'), [], label)
    t.strictSame(spellingsOf(rawHeaders, 'authorization'), [], label)
  }
  t.equal(service.requests.length, smuggled.length)
})

t.test('no spelling of the cookie of the session gets through', async (t) => {
  const { service, token, send } = await createProxyScene(t)
  const cookies = [
    `${COOKIE}=${token}`,
    `${COOKIE}=${token}; ${COOKIE}=${token}`,
    ` ${COOKIE} = ${token}`,
    `a=b;${COOKIE}=${token}`,
    `a=b; =${COOKIE}=${token}`,
    `;;; ${COOKIE}=${token};`
  ]
  for (const cookie of cookies) {
    await send('GET /orders/7', [`Cookie: ${cookie}`])
    t.notMatch(service.requests.at(-1)?.rawHeaders.join('\n'), token, cookie)
  }
  await send('GET /orders/7', ['Cookie: a=b', `Cookie: ${COOKIE}=${token}`, 'Cookie: x__Host-Http-session=1; e="f=g"'])
  const { rawHeaders = [] } = service.requests.at(-1) ?? {}
  t.strictSame(spellingsOf(rawHeaders, 'cookie'), ['a=b; x__Host-Http-session=1; e="f=g"'])
  t.equal(service.requests.length, cookies.length + 1)
})

t.test('requests that two programs read in two ways are refused, and the service gets nothing', async (t) => {
  const { service, send } = await createProxyScene(t)
  const requests: [line: string, lines?: string[], body?: string][] = [
    ['GET /orders/7', ['X-A: b\r\n Session-User: eve']],
    ['GET /orders/7', ['X-A: b\r\n\tSession-User: eve']],
    ['GET /orders/7', ['Session-User : eve']],
    ['GET /orders/7', ['session user: eve']],
    ['GET /orders/7', ['X-A: b\nSession-User: eve']],
    ['POST /orders/7', ['Transfer-Encoding: chunked'], '0\r\n\r\nGET /admin HTTP/1.1\r\nSession-User: eve\r\n\r\n'],
    ['POST /orders/7', ['Transfer-Encoding: xchunked']],
    ['POST /orders/7', ['Content-Length: 1', 'Content-Length: 2'], 'ab'],
    ['GET http://evil.example/orders/7'],
    ['GET /orders/../user/login'],
    ['GET /orders/%2e%2e/user/login'],
    ['GET /orders/%2E%2E%2Fuser/login'],
    ['GET /orders/..%5cuser/login'],
    ['GET /orders//evil.example/7'],
    ['GET /orders/\\evil.example/7'],
    ['GET /orders/%zz']
  ]
  for (const [line, lines, body] of requests) {
    const response = await send(line, lines, body)
    t.equal(response.status, 400, `${line} ${lines}`)
    assertNoClearSignal(t, response)
  }
  t.equal((await send('GET //orders/7')).status, 404)
  t.strictSame(service.requests, [])
})

t.test('headers of one connection do not fail a request', async (t) => {
  const { service, send } = await createProxyScene(t)
  const headers = [
    'Keep-Alive: timeout=5',
    'TE: trailers',
    'Trailer: x',
    'Upgrade: h2c',
    'Proxy-Connection: keep-alive'
  ]
  for (const header of [...headers, 'Proxy: http://evil.example', 'Proxy-Authorization: Basic eDp5']) {
    t.equal((await send('GET /orders/7', [header])).status, 200, header)
    const [name = ''] = header.toLowerCase().split(':')
    t.strictSame(spellingsOf(service.requests.at(-1)?.rawHeaders ?? [], name), [], header)
  }
})

t.test('the answers of the service neither end the session nor set its cookie', async (t) => {
  const { service, token, send, app, sessionId } = await createProxyScene(t)
  service.answer = (_request, response) => {
    response.setHeader('Session-Ended', 'revoked').setHeader('Clear-Site-Data', '"*"').setHeader('X-Order', '7')
    const names = [`${COOKIE}=`, ` ${COOKIE} =`, `=${COOKIE}=`, `${COOKIE}`]
    const own = names.map((name) => `${name}x; Path=/; Secure`)
    response.setHeader('Set-Cookie', ['theme=dark; Path=/', ...own.slice(0, 3), `${COOKIE}; Path=/`, 'a=b'])
    response.statusCode = 401
    response.end('no')
  }
  const answer = await send('GET /orders/7')
  t.equal(answer.status, 401, 'as the service has answered')
  assertNoClearSignal(t, answer)
  t.strictSame(valuesOf(answer, 'x-order'), ['7'])
  t.strictSame(valuesOf(answer, 'set-cookie'), ['theme=dark; Path=/', 'a=b'])
  service.answer = (_request, response) => response.setHeader('Set-Cookie', `${COOKIE}=; Max-Age=0`).end('ok')
  t.strictSame(valuesOf(await send('GET /orders/7', [`Cookie: ${COOKIE}=${token}`]), 'set-cookie'), [])
  t.not(await app.sessions.find(sessionId), null)
})
