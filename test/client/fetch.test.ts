import t from 'tap'
import { createBrowserClient } from '../../lib/client/browser-client.js'
import { createScene, pass, settle } from './scene.js'

t.test('a call has the token and `Session-Client`, and keeps what the caller gives', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client } = await signedIn()
  const answer = await client.fetch('/orders?page=2', { method: 'PUT', body: 'x', headers: { accept: 'text/plain' } })
  t.match(await answer.json(), { route: 'PUT /orders' })
  const { headers, token, body, init } = server.requests.at(-1) ?? {}
  t.equal(headers?.get('session-client'), '1')
  t.equal(headers?.get('accept'), 'text/plain')
  t.strictSame([token, body, init?.credentials], ['token-1', 'x', undefined])
  await client.fetch(new URL('https://app.example/orders'), { headers: new Headers({ accept: 'a/b' }) })
  t.equal(server.requests.at(-1)?.headers.get('accept'), 'a/b')
})

t.test('every request of the client itself has `Session-Client` too', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client } = await signedIn({ events: true })
  await client.extend()
  await client.logout()
  t.ok(server.requests.length >= 4)
  for (const { route, headers } of server.requests) t.equal(headers.get('session-client'), '1', route)
})

t.test('without a session a call is sent without credentials', async (t) => {
  const { server, tab } = createScene(t)
  await tab().client.fetch('/prices')
  t.strictSame([server.requests[0]?.route, server.requests[0]?.token], ['GET /prices', undefined])
})

t.test('with a cookie a call includes the cookie, and has no token', async (t) => {
  const { server, browser, signedIn } = createScene(t, 'cookie')
  const { client } = await signedIn()
  await client.fetch('/orders')
  const { headers, token, init } = server.requests.at(-1) ?? {}
  t.strictSame([token, init?.credentials], [browser.cookie, 'include'])
  t.equal(headers?.has('authorization'), false)
  t.notOk([...browser.entries.values()].join().includes('token-'))
})

t.test('credentials go to the base URL only', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client } = await signedIn()
  const { length } = server.requests
  const others = [
    'https://evil.example/x',
    '//evil.example',
    'http://app.example/',
    'https://app.example:444/',
    'data:,x'
  ]
  for (const url of [...others, new URL('https://evil.example')]) {
    await t.rejects(client.fetch(url), { name: 'TypeError', message: /The session is not for / }, String(url))
  }
  t.equal(server.requests.length, length)
})

t.test('a call without an answer rejects with a TypeError that names the usual causes', async (t) => {
  const { browser, signedIn } = createScene(t)
  const { client } = await signedIn({ baseUrl: 'https://api.example' })
  browser.isOffline = true
  const message = 'No answer from https://api.example: away, or no CORS'
  await t.rejects(client.fetch('/orders'), { name: 'TypeError', message, cause: { message: 'Failed to fetch' } })
})

t.test('the signal of the caller aborts a call and its body', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client, status } = await signedIn()
  await t.rejects(client.fetch('/orders', { signal: AbortSignal.abort() }), { name: 'AbortError' })
  t.notOk(server.routes.includes('GET /orders'))
  server.answers.set('GET /slow', () => new Promise(() => {}))
  const controller = new AbortController()
  const slow = client.fetch('/slow', { signal: controller.signal })
  await settle()
  controller.abort()
  await t.rejects(slow, { name: 'AbortError' })
  t.equal(status(), 'signed-in')
})

t.test('a login aborts the calls that are under way', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client } = await signedIn()
  server.answers.set('GET /slow', () => new Promise(() => {}))
  const slow = t.rejects(client.fetch('/slow'), { name: 'AbortError' })
  await settle()
  await client.login({ username: 'ada', password: 'right' })
  await slow
})

t.test('a client that is closed listens, asks and reads no more; the session stays', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const { client, window, snapshots } = await signedIn()
  const other = tab({}, browser.open(true))
  await settle()
  server.answers.set('GET /slow', () => new Promise(() => {}))
  const slow = t.rejects(client.fetch('/slow'), { name: 'AbortError' })
  await settle()
  client.close()
  await slow
  await settle()
  t.equal(browser.locks.holderOf('fastify-jwt-session:session:events'), other.window)
  t.equal(server.streams.size, 1)
  const { length } = snapshots
  await other.client.logout()
  for (const event of ['online', 'storage', 'visibilitychange']) window.dispatch(event)
  await settle()
  t.equal(snapshots.length, length)
  t.equal(server.routes.filter((route) => route === 'POST /user/logout').length, 1)
})

t.test('a client that is closed while it asks sets no timer', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client, window } = await signedIn({ events: false })
  server.answers.set('GET /user/session', () => new Promise(() => {}))
  window.show()
  await settle()
  client.close()
  await settle()
  const { length } = server.requests
  await pass(1_900_000)
  t.equal(server.requests.length, length)
})

t.test('nothing of the window is replaced', async (t) => {
  const { browser } = createScene(t)
  const window = browser.open()
  const before = { ...window }
  const { fetch } = globalThis
  createBrowserClient(window.page, {}).close()
  t.strictSame(Object.keys(window), Object.keys(before))
  t.equal(window.fetch, before.fetch)
  t.equal(globalThis.fetch, fetch)
})
