import t from 'tap'
import type { FakeServer, FakeSession } from './fake-server.js'
import { createScene, pass, settle } from './scene.js'

const ADA = { username: 'ada', password: 'right' }
const ASK = 'GET /user/session'
const only = ({ sessions }: FakeServer) => [...sessions.values()].at(-1) as FakeSession
const count = ({ routes }: FakeServer, route: string) => routes.filter((seen) => seen === route).length

t.test('without a record the page starts loading and asks once: a login by redirect', async (t) => {
  const { server, browser, tab } = createScene(t, 'cookie')
  browser.cookie = server.open('ada').token
  const { client, snapshots, window } = tab()
  t.strictSame(client.getSnapshot(), { status: 'loading' })
  await pass(20)
  t.match(client.getSnapshot(), { status: 'signed-in', user: { id: 'ada', name: 'name of ada' } })
  t.equal(count(server, ASK), 1)
  t.equal(server.streams.size, 1)
  t.strictSame(
    snapshots.map(({ status }) => status),
    ['loading', 'signed-in']
  )
  t.notOk(browser.entries.get('fastify-jwt-session:session')?.includes('token'))
  window.show()
  await settle()
  t.equal(count(server, ASK), 1)
})

t.test('without a cookie the page is signed out without a reason, and no end', async (t) => {
  const { tab } = createScene(t, 'cookie')
  const { client, window, ends } = tab({ loginUrl: '/login' })
  await pass(20)
  t.strictSame(client.getSnapshot(), { status: 'signed-out', reason: null })
  t.strictSame([ends, window.visited], [[], []])
})

t.test('a cookie whose session has ended empties the stores of a page without a record', async (t) => {
  const { server, browser, tab } = createScene(t, 'cookie')
  const session = server.open('ada')
  browser.cookie = session.token
  session.ended = 'revoked'
  browser.entries.set('draft', 'x')
  const { reason } = tab()
  await pass(50)
  t.equal(reason(), 'revoked')
  t.notOk(browser.entries.has('draft'))
})

t.test('while the server does not answer the page stays loading, and asks again', async (t) => {
  const { server, browser, tab } = createScene(t, 'cookie')
  browser.cookie = server.open('ada').token
  browser.isOffline = true
  const { status, window } = tab()
  await pass(12_000)
  t.equal(status(), 'loading')
  browser.isOffline = false
  await pass(6_000)
  t.equal(status(), 'signed-in')

  browser.entries.clear()
  server.answers.set(ASK, () => server.json(503, {}))
  const second = tab({}, browser.open())
  window.freeze()
  await pass(12_000)
  t.ok(['loading', 'signed-in'].includes(second.status()))
})

t.test('a page that is online or looked at asks at once while it is loading', async (t) => {
  const { server, browser, tab } = createScene(t, 'cookie')
  browser.cookie = server.open('ada').token
  browser.isOffline = true
  const { status } = tab()
  await pass(1_000)
  browser.goOnline()
  await settle()
  t.equal(status(), 'signed-in')
})

t.test('after a logout, a login by redirect is noticed, and the reason stays without one', async (t) => {
  const { server, browser, signedIn, tab } = createScene(t, 'cookie')
  const first = await signedIn()
  await first.client.logout()
  await settle()
  t.equal(browser.cookie, undefined)
  first.leave()
  const second = tab()
  t.equal(second.status(), 'loading')
  await pass(20)
  t.equal(second.reason(), 'logged_out')
  second.leave()
  browser.cookie = server.open('bob').token
  const third = tab()
  await pass(20)
  t.match(third.client.getSnapshot(), { user: { id: 'bob' } })
})

t.test('a redirect that logs in another user never shows the last user', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t, 'cookie')
  const first = await signedIn()
  const open = tab()
  await pass(20)
  browser.entries.set('draft', 'of ada')
  first.leave()
  const old = only(server)
  browser.cookie = server.open('bob').token
  server.end(old, 'logged_in_again')
  const later = tab()
  await pass(100)
  const seen = later.snapshots.map((snapshot) => ('user' in snapshot ? snapshot.user.id : snapshot.status))
  t.notOk(seen.includes('ada'), `${seen}`)
  t.equal(seen.at(-1), 'bob')
  t.notOk(browser.entries.has('draft'))
  t.match(open.client.getSnapshot(), { user: { id: 'bob' } })
  t.strictSame(open.ends, ['logged_in_again'])
})

t.test('while the server does not answer a page shows the session of the record', async (t) => {
  const { browser, tab, signedIn } = createScene(t, 'cookie')
  await signedIn()
  browser.isOffline = true
  const later = tab()
  t.equal(later.status(), 'loading')
  await pass(50)
  t.equal(later.status(), 'signed-in')
})

t.test('two pages that open at once have one session', async (t) => {
  const { server, browser, tab } = createScene(t, 'cookie')
  browser.cookie = server.open('ada').token
  const tabs = [tab(), tab()]
  await pass(100)
  for (const { client, ends } of tabs) {
    t.match(client.getSnapshot(), { user: { id: 'ada' } })
    t.strictSame(ends, [])
  }
  t.equal(only(server).ended, undefined)
})

t.test('a cookie that the user has deleted shows the login and empties nothing', async (t) => {
  const { browser, signedIn } = createScene(t, 'cookie')
  const { reason, window } = await signedIn({ events: false })
  browser.entries.set('draft', 'x')
  browser.cookie = undefined
  window.show()
  await settle()
  t.equal(reason(), 'unknown')
  t.ok(browser.entries.has('draft'))
})

t.test('a cookie that is gone with its session empties the stores', async (t) => {
  const { server, browser, signedIn } = createScene(t, 'cookie')
  server.idleMs = null
  const { reason } = await signedIn({ events: false })
  browser.entries.set('draft', 'x')
  await pass(only(server).expiresAt - Date.now() - 1_000)
  browser.cookie = undefined
  await pass(3_000)
  t.equal(reason(), 'expired')
  t.notOk(browser.entries.has('draft'))
})

t.test('logins of two tabs come one after the other: the user that is shown has the cookie', async (t) => {
  const { server, browser, tab } = createScene(t, 'cookie')
  const [first, second] = [tab(), tab()]
  await pass(20)
  let release = () => {}
  server.answers.set('POST /user/login', (request) => {
    server.answers.delete('POST /user/login')
    return new Promise<void>((resolve) => {
      release = resolve
    }).then(() => server.fetch(browser, 'https://app.example/user/login', { ...request.init, signal: null }))
  })
  const logins = [first.client.login(ADA), second.client.login({ username: 'bob', password: 'right' })]
  await settle()
  t.equal(count(server, 'POST /user/login'), 1)
  release()
  await Promise.all(logins)
  await pass(100)
  const session = server.sessions.get(browser.cookie ?? '')
  t.equal(session?.user.id, 'bob')
  for (const { client } of [first, second]) t.match(client.getSnapshot(), { user: { id: 'bob' } })
})

t.test('a login that holds the lock ends after 15 seconds, and the next login is sent', async (t) => {
  const { server, tab } = createScene(t, 'cookie')
  const [first, second] = [tab(), tab()]
  await pass(20)
  server.answers.set('POST /user/login', () => {
    server.answers.delete('POST /user/login')
    return new Promise(() => {})
  })
  const stuck = t.rejects(first.client.login(ADA), { name: 'AbortError' })
  await settle()
  const login = second.client.login(ADA)
  await pass(15_100)
  await stuck
  t.equal((await login).status, 200)
})

t.test('a login of another tab holds against an answer that had to wait for the lock', async (t) => {
  const { server, browser, tab } = createScene(t, 'cookie')
  browser.cookie = server.open('ada').token
  let free = () => {}
  const held = new Promise<void>((resolve) => {
    free = resolve
  })
  void browser.locks.of({ awake: Promise.resolve() }).request('fastify-jwt-session:session1000', {}, () => held)
  const { client, window } = tab()
  await pass(20)
  const user = { id: 'bob' }
  const record = {
    key: 'k',
    at: Date.now(),
    user,
    owner: 'bob',
    expiresAt: Date.now() + 1_000_000,
    idleExpiresAt: null
  }
  browser.entries.set('fastify-jwt-session:session', JSON.stringify(record))
  window.dispatch('storage')
  free()
  await settle()
  t.match(client.getSnapshot(), { user })
})
