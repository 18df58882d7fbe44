import t from 'tap'
import { createScene, pass, settle } from './scene.js'

const ADA = { username: 'ada', password: 'right' }
const RECORD = 'fastify-jwt-session:session'

t.test('a logout ends the session in all tabs and on the server', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const second = tab()
  t.equal(await first.client.logout(), true)
  await settle()
  t.strictSame([first.reason(), second.reason()], ['logged_out', 'logged_out'])
  t.strictSame([first.ends, second.ends], [['logged_out'], ['logged_out']])
  t.equal([...server.sessions.values()][0]?.ended, 'logged_out')
  const request = server.requests.find(({ route }) => route === 'POST /user/logout')
  t.match(request, { token: 'token-1', init: { keepalive: true } }, 'also when the page is left at once')
  t.equal(request?.headers.get('session-client'), '1')
})

t.test('an acknowledged logout stays acknowledged when another page stores an older record', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const { client, reason } = await signedIn()
  const other = tab({}, browser.open(true))
  await settle()
  let older = ''
  server.answers.set('POST /user/logout', () => {
    older = browser.entries.get(RECORD) ?? ''
    return undefined
  })
  t.equal(await client.logout(), true)
  t.match(JSON.parse(older), { pending: true, token: 'token-1' })
  // Browsers have a copy of localStorage in each process: the other page has not seen the acknowledgment yet.
  other.window.localStorage.setItem(RECORD, JSON.stringify({ ...JSON.parse(older), full: false }))
  await settle()
  t.match(JSON.parse(browser.entries.get(RECORD) ?? ''), { pending: false, token: '', full: false })
  t.equal(reason(), 'logged_out')
  const { length } = server.requests
  for (const window of browser.windows) window.show()
  await settle()
  t.equal(server.requests.length, length, 'the server is not told again')
})

t.test('a logout ends the session here before the server is told', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client, reason } = await signedIn()
  server.answers.set('POST /user/logout', () => new Promise(() => {}))
  const logout = client.logout()
  t.equal(reason(), 'logged_out')
  await pass(15_100)
  t.equal(await logout, false, 'after 15 seconds without an answer')
})

for (const transport of ['bearer', 'cookie'] as const) {
  t.test(
    `${transport}: a logout while offline stays a logout over a reload, and is sent when the page is online`,
    async (t) => {
      const { server, browser, tab, signedIn } = createScene(t, transport)
      const first = await signedIn()
      browser.goOffline()
      t.equal(await first.client.logout(), false)
      t.equal(first.reason(), 'logged_out')
      first.leave()
      const reloaded = tab()
      await pass(60_000)
      t.strictSame(reloaded.snapshots, [{ status: 'signed-out', reason: 'logged_out' }])
      const { length } = server.requests
      browser.goOnline()
      await settle()
      t.strictSame(server.routes.slice(length), ['POST /user/logout'])
      t.equal([...server.sessions.values()][0]?.ended, 'logged_out')
      t.notOk(browser.entries.get(RECORD)?.includes('token-'), 'the token is forgotten')
      browser.goOnline()
      reloaded.window.show()
      await settle()
      t.equal(server.routes.slice(length).filter((route) => route === 'POST /user/logout').length, 1, 'once')
    }
  )

  t.test(`${transport}: while a logout is pending no other call is sent`, async (t) => {
    const { server, browser, signedIn, tab } = createScene(t, transport)
    const { client, window } = await signedIn()
    const clients = [client, tab().client]
    await settle()
    server.answers.set('POST /user/logout', () => server.json(503, { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' }))
    t.equal(await client.logout(), false)
    await settle()
    const { length } = server.requests
    for (const client of clients) {
      await t.rejects(client.fetch('/orders'), { name: 'AbortError' })
      await t.rejects(client.extend(), { name: 'AbortError' })
      const refusal = await client.login(ADA)
      t.match(
        await refusal.json(),
        { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' },
        'the refusal is the answer to a login'
      )
    }
    window.show()
    await pass(60_000)
    browser.goOffline()
    await t.rejects(client.login(ADA), { name: 'TypeError' })
    browser.isOffline = false
    t.strictSame([...new Set(server.routes.slice(length))], ['POST /user/logout'])
    server.answers.clear()
    t.equal((await client.login(ADA)).status, 200, 'first the logout, then the login')
    t.strictSame(server.routes.slice(-3, -1), ['POST /user/logout', 'POST /user/login'])
  })
}

t.test('a logout is sent again when a page loads, comes online or is looked at, and not by a timer', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  server.answers.set('POST /user/logout', () => server.json(500, {}))
  const count = () => server.routes.filter((route) => route === 'POST /user/logout').length
  await first.client.logout()
  await pass(600_000)
  t.equal(count(), 1)
  browser.goOnline()
  await settle()
  t.equal(count(), 2)
  first.window.hide()
  await settle()
  t.equal(count(), 2)
  first.window.show()
  await settle()
  t.equal(count(), 3)
  tab({}, browser.open(true))
  await settle()
  t.equal(count(), 4)
  t.equal(await first.client.logout(), false, 'and by another logout()')
  t.equal(count(), 5)
})

t.test('a refusal that would come again ends the wait: the user can log in', async (t) => {
  for (const status of [400, 403, 404]) {
    const { server, signedIn } = createScene(t)
    const { client } = await signedIn()
    server.answers.set('POST /user/logout', () => server.json(status, {}))
    t.equal(await client.logout(), true, `${status}`)
    t.equal((await client.login(ADA)).status, 200)
  }
  for (const status of [429, 500, 502, 503]) {
    const { server, signedIn } = createScene(t)
    const { client } = await signedIn()
    server.answers.set('POST /user/logout', () => server.json(status, {}))
    t.equal(await client.logout(), false, `${status}`)
  }
})

t.test(
  'a logout that waits for the lock is not sent when another page has told the server and logged in',
  async (t) => {
    const { server, browser, tab, signedIn } = createScene(t, 'cookie')
    const first = await signedIn()
    const second = tab()
    await settle()
    browser.goOffline()
    await first.client.logout()
    browser.isOffline = false
    let release = () => {}
    const gate = new Promise<void>((resolve) => {
      release = resolve
    })
    server.answers.set('POST /user/login', () => gate.then(() => undefined as never))
    server.answers.set('POST /user/login', (request) => {
      server.answers.delete('POST /user/login')
      return gate.then(() => server.fetch(browser, 'https://app.example/user/login', { ...request.init, signal: null }))
    })
    const login = second.client.login({ username: 'bob', password: 'right' })
    await settle()
    first.window.show()
    await settle()
    release()
    await login
    await pass(100)
    t.match(first.client.getSnapshot(), { user: { id: 'bob' } })
    t.equal(browser.cookie, [...server.sessions.values()].at(-1)?.token)
    t.equal(server.routes.filter((route) => route === 'POST /user/logout').length, 1)
  }
)

t.test('a login with a cookie waits for the logout of another tab, whose answer deletes the cookie', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t, 'cookie')
  const first = await signedIn()
  const second = tab()
  await settle()
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  server.answers.set('POST /user/logout', () => {
    server.end([...server.sessions.values()][0] as never, 'logged_out')
    return gate.then(() => new Response(null, { status: 204, headers: { 'x-set-cookie': '' } }))
  })
  const logout = first.client.logout()
  await settle()
  server.answers.delete('POST /user/logout')
  const login = second.client.login(ADA)
  await settle()
  t.notOk(server.routes.slice(3).includes('POST /user/login'))
  release()
  await Promise.all([logout, login])
  await settle()
  t.equal(browser.cookie, [...server.sessions.values()].at(-1)?.token)
  t.match(first.client.getSnapshot(), { status: 'signed-in' })
})

t.test('a logout without a session empties the stores and tells the server', async (t) => {
  const { server, browser, tab } = createScene(t)
  browser.entries.set('draft', 'x')
  const { client, reason, ends } = tab()
  t.equal(await client.logout(), true)
  await settle()
  t.equal(reason(), 'logged_out')
  t.strictSame([ends, browser.entries.get('draft')], [[], undefined])
  t.strictSame(server.routes, ['POST /user/logout'])
})
