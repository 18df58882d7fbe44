import t from 'tap'
import { createScene, pass, settle } from './scene.js'

const ADA = { username: 'ada', password: 'right' }
const BOB = { username: 'bob', password: 'right' }
const RECORD = 'fastify-jwt-session:session'

t.test('before a login a page is signed out without a reason', async (t) => {
  const { server, tab } = createScene(t)
  const { client } = tab()
  t.strictSame(client.getSnapshot(), { status: 'signed-out', reason: null })
  await pass(60_000)
  t.strictSame(server.routes, [], 'and asks nothing')
})

t.test('a login resolves to the answer, and the snapshot has the user and the times', async (t) => {
  const { server, tab } = createScene(t)
  const { client } = tab()
  const answer = await client.login(ADA)
  t.equal(answer.status, 200)
  t.match(await answer.json(), { token_type: 'Bearer' }, 'the caller can read the answer')
  await settle()
  const { expiresAt, idleExpiresAt } = [...server.sessions.values()][0] ?? {}
  const user = { id: 'ada', name: 'name of ada' }
  // The clock of the test has 400 ms, which `Date` cuts off.
  const times = { expiresAt: Number(expiresAt) - 100, idleExpiresAt: Number(idleExpiresAt) - 100 }
  t.strictSame(client.getSnapshot(), { status: 'signed-in', user, ...times })
  t.match(server.requests[0]?.body, JSON.stringify(ADA))
})

t.test('a rejected login resolves to the answer and changes nothing', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const { client } = tab()
  const rejected = await client.login({ username: 'ada', password: 'wrong' })
  t.match(await rejected.json(), { code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' })
  t.strictSame(client.getSnapshot(), { status: 'signed-out', reason: null })
  server.answers.set('POST /user/login', () => server.json(429, {}))
  t.equal((await client.login(ADA)).status, 429)
  server.answers.clear()

  const other = await signedIn()
  const before = other.client.getSnapshot()
  t.equal((await other.client.login({ username: 'ada', password: 'wrong' })).status, 401)
  await pass(2_000)
  t.equal(other.client.getSnapshot(), before, 'the session that was there stays')
  t.equal(server.streams.size, 1, 'with its stream')
})

t.test('a login without an answer rejects', async (t) => {
  const { browser, tab } = createScene(t)
  browser.isOffline = true
  await t.rejects(tab().client.login(ADA), { name: 'TypeError', message: /No answer from https:\/\/app\.example/ })
})

t.test('a login that takes longer than 15 seconds rejects', async (t) => {
  const { server, tab } = createScene(t)
  server.answers.set('POST /user/login', () => new Promise(() => {}))
  const { client } = tab()
  const login = t.rejects(client.login(ADA), { name: 'AbortError' })
  await pass(15_100)
  await login
  server.answers.clear()
  await client.login(ADA)
  await pass(20_000)
  t.equal(server.requests[1]?.init.signal?.aborted, false, 'the caller may still read the answer')
})

t.test('a page that is opened later has the session at once', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const { client } = await signedIn()
  const requests = server.requests.length
  const later = tab()
  t.strictSame(later.snapshots, [client.getSnapshot()])
  t.equal(server.requests.length, requests)
})

t.test('the login of the same user ends the session before, and empties nothing', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const second = tab()
  await settle()
  browser.entries.set('draft', 'x')
  first.window.sessionStorage.setItem('filter', 'y')
  await second.client.login(ADA)
  await pass(3_000)
  const [old, current] = [...server.sessions.values()]
  t.equal(old?.ended, 'logged_in_again')
  t.equal(current?.ended, undefined)
  for (const { client, ends, status } of [first, second]) {
    t.equal(status(), 'signed-in')
    t.strictSame(ends, [])
    await client.fetch('/orders')
    t.equal(server.requests.at(-1)?.token, current?.token)
  }
  t.equal(browser.entries.get('draft'), 'x')
  t.equal(first.window.entries.get('filter'), 'y')
})

t.test('the login of another user never shows the data of the last user', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn({ keep: ['theme'] })
  const second = tab({ keep: ['theme'], loginUrl: '/login' })
  await settle()
  browser.entries.set('orders', 'of ada').set('theme', 'dark')
  browser.databases.add('mail')
  browser.caches.add('api')
  for (const { window } of [first, second]) window.sessionStorage.setItem('filter', 'of ada')
  second.client.subscribe(() => {
    if (second.status() !== 'signed-in') return
    t.notOk(browser.entries.has('orders'), 'the stores are empty before the next user is shown')
    t.equal(browser.databases.size + browser.caches.size + second.window.entries.size, 0)
  })
  await second.client.login(BOB)
  await pass(1_000)
  for (const { ends, client } of [first, second]) {
    t.strictSame(ends, ['logged_in_again'])
    t.match(client.getSnapshot(), { status: 'signed-in', user: { id: 'bob' } })
  }
  const seen = second.snapshots.map((snapshot) => ('user' in snapshot ? snapshot.user.id : snapshot.status))
  t.strictSame(seen, ['ada', 'loading', 'bob', 'bob'])
  t.equal(first.window.entries.size, 0)
  t.strictSame([...browser.entries.keys()].toSorted(), [RECORD, 'theme'])
  t.strictSame(second.window.visited, [], 'the login page is not shown')
  t.equal([...server.sessions.values()][0]?.ended, 'logged_in_again')
})

t.test('two tabs that log in at once end up with one session, and the other session is ended', async (t) => {
  const { server, tab } = createScene(t)
  const [first, second] = [tab(), tab()]
  let release = () => {}
  const gate = new Promise<void>((resolve) => {
    release = resolve
  })
  // The answers arrive in the other order.
  server.answers.set('POST /user/login', (request) => {
    if (JSON.parse(request.body ?? '').username !== 'ada') return undefined
    const { token, user } = server.open('ada')
    return gate.then(() => server.json(200, { token_type: 'Bearer', access_token: token, expires_in: 43_200, user }))
  })
  const logins = [first.client.login(ADA), second.client.login(BOB)]
  await settle()
  t.match(first.client.getSnapshot(), { user: { id: 'bob' } })
  release()
  await Promise.all(logins)
  await pass(100)
  for (const { client } of [first, second]) t.match(client.getSnapshot(), { user: { id: 'ada' } })
  const [ada, bob] = [...server.sessions.values()]
  t.equal(ada?.ended, undefined)
  t.equal(bob?.ended, 'logged_out', 'no page has this token any more')
})

t.test('a later login holds against an older record that is written after the login', async (t) => {
  const { browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const older = browser.entries.get(RECORD) ?? ''
  await pass(1_000)
  const second = tab()
  await second.client.login(BOB)
  await settle()
  browser.entries.set(RECORD, older)
  second.window.dispatch('storage')
  await settle()
  for (const { client } of [first, second]) t.match(client.getSnapshot(), { user: { id: 'bob' } })
  t.match(JSON.parse(browser.entries.get(RECORD) ?? ''), { user: { id: 'bob' } })
})

t.test('a login holds against the tombstone before it also when the clock was set back', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const late = JSON.parse(first.window.browser.entries.get(RECORD) ?? '')
  first.window.localStorage.setItem(RECORD, JSON.stringify({ ...late, at: Date.now() + 3_600_000 }))
  const second = tab()
  const frozen = tab({}, first.window.browser.open(true))
  frozen.window.freeze()
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(100)
  await second.client.login(BOB)
  await settle()
  frozen.window.resume()
  await settle()
  for (const { client } of [first, second, frozen]) t.match(client.getSnapshot(), { user: { id: 'bob' } })
})

t.test('a session of another route is adopted, and ends the session that was there', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const other = await signedIn()
  const { client } = tab()
  const { token, user } = server.open('ada')
  await client.adopt({ token_type: 'Bearer', access_token: token, expires_in: 43_200, user })
  await pass(100)
  await other.client.fetch('/orders')
  t.equal(server.requests.at(-1)?.token, token)
  t.equal([...server.sessions.values()][0]?.ended, 'logged_out')
})

t.test('what is no login of the transport is not adopted', async (t) => {
  const { server, tab } = createScene(t)
  const user = { id: 'ada' }
  const [bearer, cookie] = [tab(), tab({ transport: 'cookie' })]
  const message = 'This is no bearer login'
  const wrong = [
    { token_type: 'Cookie', expires_in: 1, user },
    {},
    { access_token: 'x', token_type: 'Bearer', expires_in: 1 }
  ]
  for (const answer of wrong) await t.rejects(bearer.client.adopt(answer as never), { name: 'TypeError', message })
  const token = { token_type: 'Bearer', access_token: 'x', expires_in: 1, user }
  await t.rejects(cookie.client.adopt(token), { name: 'TypeError', message: 'This is no cookie login' })
  server.answers.set('POST /user/login', () => new Response('<html>'))
  await t.rejects(bearer.client.login(ADA), { message })
  t.equal(bearer.reason(), null)
})

t.test(
  'a record that a script has removed is written again, and one that a script has written is not read',
  async (t) => {
    const { browser, signedIn, tab } = createScene(t)
    const { client, window, ends } = await signedIn()
    for (const text of ['', 'x', 'null', '{}', '[1]']) {
      browser.entries.delete(RECORD)
      if (text) browser.entries.set(RECORD, text)
      window.dispatch('storage')
      await settle()
      t.match(client.getSnapshot(), { user: { id: 'ada' } })
      t.match(JSON.parse(browser.entries.get(RECORD) ?? ''), { user: { id: 'ada' } })
    }
    t.strictSame(ends, [])
    browser.entries.set('fastify-jwt-session:other', 'x')
    t.equal(tab({ name: 'other' }).reason(), null)
  }
)

t.test('the snapshot is the same object, with the same user, while nothing has changed', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client, window, snapshots } = await signedIn({ events: false })
  await settle()
  const snapshot = client.getSnapshot()
  const { length } = snapshots
  for (let i = 0; i < 10; i++) {
    await pass(777)
    window.show()
    await settle()
  }
  t.ok(server.routes.filter((route) => route === 'GET /user/session').length > 10)
  t.equal(client.getSnapshot(), snapshot, 'the fraction of a second that `Date` does not have is no change')
  t.equal(snapshots.length, length)
  server.extend([...server.sessions.values()][0] as never, 60_000)
  window.show()
  await settle()
  const next = client.getSnapshot()
  t.not(next, snapshot)
  t.equal('user' in next && next.user, 'user' in snapshot && snapshot.user)
})

t.test('listeners can be removed, and one that throws does not stop the others', async (t) => {
  const { tab, server } = createScene(t)
  const reported = t.capture(console, 'error')
  const { client, snapshots, ends, status } = tab()
  client.subscribe(() => {
    throw new Error('in a subscriber')
  })
  client.onEnd(() => {
    throw new Error('in a listener')
  })
  const later: string[] = []
  client.onEnd((reason) => later.push(reason))
  const removed: string[] = []
  client.onEnd((reason) => removed.push(reason))()
  client.subscribe(() => removed.push('snapshot'))()
  await client.login(ADA)
  await settle()
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(100)
  t.equal(status(), 'signed-out')
  t.ok(snapshots.length > 1)
  t.strictSame([ends, later, removed], [['revoked'], ['revoked'], []])
  t.match(
    reported().map(({ args }) => String(args[0])),
    ['Error: in a subscriber']
  )
})
