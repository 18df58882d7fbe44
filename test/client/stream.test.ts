import t from 'tap'
import type { FakeServer, FakeSession } from './fake-server.js'
import { createScene, pass, settle } from './scene.js'

const LOCK = 'fastify-jwt-session:session:events'
const EVENTS = 'GET /user/session/events'
const ASK = 'GET /user/session'

const only = ({ sessions }: FakeServer) => [...sessions.values()].at(-1) as FakeSession
const count = ({ routes }: FakeServer, route: string) => routes.filter((seen) => seen === route).length

t.test('one tab of the browser reads the stream, and the others learn from the record', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const hidden = [1, 2, 3].map(() => tab({}, browser.open(true)))
  await settle()
  t.equal(server.streams.size, 1)
  t.equal(browser.locks.holderOf(LOCK), first.window)
  server.extend(only(server), 60_000)
  await settle()
  for (const { client } of hidden) t.strictSame(client.getSnapshot(), first.client.getSnapshot())
  t.equal(count(server, ASK), 0)
})

t.test('a tab that is looked at takes the stream over, and its first event is the state', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const second = tab({}, browser.open(true))
  await settle()
  first.window.hide()
  first.window.freeze()
  second.window.show()
  await settle()
  t.equal(browser.locks.holderOf(LOCK), second.window)
  server.end(only(server), 'revoked')
  await pass(50)
  t.equal(second.reason(), 'revoked', 'although the reader before is frozen')
  first.window.resume()
  await pass(50)
  t.equal(first.reason(), 'revoked')
})

t.test('what other tabs store does not disturb the reader', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  await signedIn()
  const other = tab({}, browser.open(true))
  await settle()
  other.window.localStorage.setItem('draft', 'x')
  server.extend(only(server), 60_000)
  await settle()
  t.equal(count(server, EVENTS), 1)
})

t.test('when the reader closes or crashes, another tab reads', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const second = tab({}, browser.open(true))
  await settle()
  first.leave()
  await settle()
  t.equal(browser.locks.holderOf(LOCK), second.window)
  server.end(only(server), 'revoked')
  await pass(50)
  t.equal(second.reason(), 'revoked')
})

t.test('a reader whose lock is taken over stops reading, and waits for its turn', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const second = tab()
  await settle()
  t.equal(browser.locks.holderOf(LOCK), second.window, 'a page that is opened is looked at')
  t.equal(server.streams.size, 1)
  second.leave()
  await settle()
  t.equal(browser.locks.holderOf(LOCK), first.window)
  t.equal(server.streams.size, 1)
})

t.test('a lost connection is tried again each 0.5 s; after half a minute less often, up to 30 s', async (t) => {
  t.intercept(Math, 'random', { value: () => 0.5 })
  const { server, browser, signedIn } = createScene(t)
  const { status } = await signedIn()
  const at: number[] = []
  const startedAt = Date.now()
  server.answers.set(EVENTS, () => {
    at.push(Date.now() - startedAt)
    return Promise.reject(new TypeError('refused'))
  })
  server.cut(browser)
  for (let i = 0; i < 30; i++) await pass(5_000)
  const pauses = at.map((time, index) => time - (at[index - 1] ?? 0))
  const early = pauses.filter((_, index) => Number(at[index]) <= 28_000)
  t.ok(early.length > 45 && Math.max(...early) <= 600, `${Math.max(...early)}`)
  const late = pauses.filter((pause) => pause >= 1_000)
  t.strictSame(
    late.map((pause) => Math.round(pause / 1_000)),
    [1, 2, 3, 5, 9, 17, 30, 30]
  )
  t.equal(status(), 'signed-in')
  server.answers.clear()
  await pass(31_000)
  t.equal(server.streams.size, 1)
})

t.test('pauses differ by a quarter up and down: thousands of pages do not connect at once', async (t) => {
  const at: number[] = []
  for (const value of [0, 0.999]) {
    t.intercept(Math, 'random', { value: () => value })
    const { server, signedIn } = createScene(t)
    await signedIn()
    server.restart()
    const startedAt = Date.now()
    while (server.streams.size === 0) await pass(10)
    at.push(Date.now() - startedAt)
  }
  t.ok(Number(at[0]) >= 370 && Number(at[0]) <= 400, `${at[0]}`)
  t.ok(Number(at[1]) >= 610 && Number(at[1]) <= 650, `${at[1]}`)
})

t.test('a heartbeat shows that the connection works: the next pause is the first again', async (t) => {
  t.intercept(Math, 'random', { value: () => 0.5 })
  const { server, browser, signedIn } = createScene(t)
  await signedIn()
  server.answers.set(EVENTS, () => Promise.reject(new TypeError('refused')))
  server.cut(browser)
  for (let i = 0; i < 20; i++) await pass(5_000)
  server.answers.clear()
  await pass(31_000)
  server.restart()
  await pass(15_000)
  t.equal(server.streams.size, 0, 'a connection alone shows nothing')
  await pass(16_000)
  server.beat()
  await settle()
  server.restart()
  await pass(600)
  t.equal(server.streams.size, 1)
})

t.test('online again, the page connects at once, also when a connection seems to be open', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  await signedIn()
  const { size } = server.streams
  t.equal(size, 1)
  browser.goOnline()
  await settle()
  t.equal(count(server, EVENTS), 2)
  t.equal(server.streams.size, 1)
  browser.goOffline()
  await pass(20_000)
  const { length } = server.requests
  browser.goOnline()
  await settle()
  t.equal(server.requests.length, length + 1)
  t.equal(server.streams.size, 1)
})

t.test('a hidden reader connects again when it is online', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const hidden = tab({}, browser.open(true))
  await settle()
  first.leave()
  await settle()
  browser.goOffline()
  await pass(20_000)
  browser.goOnline()
  await settle()
  t.equal(browser.locks.holderOf(LOCK), hidden.window)
  t.equal(server.streams.size, 1)
})

t.test('without a sign for 2.5 heartbeats the page connects again', async (t) => {
  const { server, signedIn } = createScene(t)
  await signedIn()
  await pass(25_000)
  server.beat()
  await pass(60_000)
  t.equal(count(server, EVENTS), 1)
  await pass(5_000)
  t.equal(count(server, EVENTS), 2)
  for (let i = 0; i < 10; i++) {
    await pass(25_000)
    server.beat()
  }
  await settle()
  t.equal(count(server, EVENTS), 2)
})

t.test('before the first heartbeat the page waits for 2.5 of the longest heartbeats', async (t) => {
  const { server, signedIn } = createScene(t)
  server.idleMs = null
  await signedIn()
  await pass(740_000)
  t.equal(count(server, EVENTS), 1)
  await pass(20_000)
  t.equal(count(server, EVENTS), 2)
})

t.test('a connection without headers is given up after 15 seconds', async (t) => {
  const { server, signedIn } = createScene(t)
  server.answers.set(EVENTS, () => new Promise(() => {}))
  await signedIn()
  await pass(16_000)
  t.equal(count(server, EVENTS), 2)
})

t.test(
  'after 429 or 503 the page asks on visible and online, and tries the stream again after `Retry-After`',
  async (t) => {
    for (const status of [429, 503]) {
      const { server, browser, signedIn } = createScene(t)
      server.answers.set(EVENTS, () =>
        server.json(status, { code: 'FST_JWT_SESSION_EVENTS_FULL' }, { 'retry-after': '30' })
      )
      const { window, client } = await signedIn()
      t.strictSame([count(server, EVENTS), count(server, ASK)], [1, 1], 'the page asks at once, for the idle expiry')
      t.ok('idleExpiresAt' in client.getSnapshot() && client.getSnapshot())
      window.show()
      await settle()
      browser.goOnline()
      await settle()
      t.strictSame([count(server, EVENTS), count(server, ASK)], [1, 3])
      await pass(29_000)
      t.equal(count(server, EVENTS), 1)
      server.answers.clear()
      await pass(2_000)
      t.strictSame([count(server, EVENTS), server.streams.size], [2, 1])
      window.show()
      await settle()
      t.equal(count(server, ASK), 3)
    }
  }
)

t.test('a `Retry-After` that is a date or missing is no pause of its own', async (t) => {
  for (const headers of [{ 'retry-after': 'Wed, 21 Oct 2026 07:28:00 GMT' }, {}]) {
    const { server, signedIn } = createScene(t)
    server.answers.set(EVENTS, () => server.json(503, {}, headers))
    await signedIn()
    await pass(10_000)
    t.ok(count(server, EVENTS) >= 14 && count(server, EVENTS) <= 28, `${count(server, EVENTS)}`)
  }
})

t.test('a server without the route is asked for the stream every 5 minutes', async (t) => {
  const { server, signedIn } = createScene(t)
  server.answers.set(EVENTS, () => server.json(404, {}))
  const { window, reason } = await signedIn()
  await pass(290_000)
  t.equal(count(server, EVENTS), 1)
  window.show()
  await settle()
  t.equal(count(server, ASK), 2, 'and asks when it is looked at')
  only(server).ended = 'revoked'
  window.show()
  await settle()
  t.equal(reason(), 'revoked')
})

t.test('an answer that is no stream ends nothing', async (t) => {
  const answers: ((server: FakeServer) => Response)[] = [
    () => new Response('<html>captive portal</html>', { headers: { 'content-type': 'text/html' } }),
    () => new Response(null),
    () => new Response('x', { status: 401 }),
    (server) => server.json(502, {}),
    (server) => server.json(500, {})
  ]
  for (const answer of answers) {
    const { server, signedIn } = createScene(t)
    server.answers.set(EVENTS, () => answer(server))
    const { status } = await signedIn()
    await pass(10_000)
    t.equal(status(), 'signed-in')
    t.ok(count(server, EVENTS) <= 28)
    server.answers.clear()
    await pass(31_000)
    t.equal(server.streams.size, 1)
  }
})

t.test('a token that a proxy takes away ends nothing', async (t) => {
  const { server, signedIn } = createScene(t)
  const { status, window } = await signedIn()
  for (const route of [EVENTS, ASK])
    server.answers.set(route, () => server.json(401, { code: 'FST_JWT_SESSION_MISSING' }))
  server.restart()
  await pass(5_000)
  window.show()
  await pass(5_000)
  t.equal(status(), 'signed-in')
})

t.test('a 401 of the stream ends the session as the server says', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  const { reason } = await signedIn()
  browser.entries.set('draft', 'x')
  only(server).ended = 'replaced'
  server.restart()
  await pass(1_000)
  t.equal(reason(), 'replaced')
  t.notOk(browser.entries.has('draft'))
})

t.test('events may arrive in pieces, and unknown events are ignored', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  let write = (_: string) => {}
  server.answers.set(EVENTS, () => {
    const start = (controller: ReadableStreamDefaultController) => {
      write = (text) => controller.enqueue(new TextEncoder().encode(text))
    }
    return new Response(new ReadableStream({ start }), { headers: { 'content-type': 'text/event-stream' } })
  })
  const { client, reason, status, snapshots } = await signedIn()
  const notice = '{"reason":"revoked","expires_at":"2026-01-01T03:00:00.000Z","idle_expires_at":null}'
  const { length } = snapshots
  write(`retry: 1000\n: welcome\n\nevent: notice\ndata: ${notice}\n\n`)
  await settle()
  t.equal(snapshots.length, length)
  write('event: session\ndata: {"expi')
  await settle()
  t.equal(status(), 'signed-in')
  write('res_at":"2026-01-01T02:00:00.000Z","idle_expires_at":null}\n')
  await settle()
  t.match(client.getSnapshot(), { expiresAt: Date.parse('2026-01-01T02:00:00.000Z'), idleExpiresAt: null })
  for (const piece of ['\neve', 'nt: session\nda', 'ta: not JSON\n\nevent: ended\n', 'data: {"reason":"revo'])
    write(piece)
  await settle()
  t.equal(status(), 'signed-in')
  write('ked"}\n\nevent: session\ndata: {"expires_at":"2026-01-01T03:00:00.000Z","idle_expires_at":null}\n\n')
  await settle()
  t.equal(reason(), 'revoked')
  t.notOk(
    browser.entries.get('fastify-jwt-session:session')?.includes('expiresAt'),
    'what comes later is of no session'
  )
})

t.test('the stream of an older session does not touch a newer one', async (t) => {
  const { server, signedIn, browser, tab } = createScene(t)
  let write = (_: string) => {}
  server.answers.set(EVENTS, () => {
    const start = (controller: ReadableStreamDefaultController) => {
      write = (text) => controller.enqueue(new TextEncoder().encode(text))
    }
    return new Response(new ReadableStream({ start }), { headers: { 'content-type': 'text/event-stream' } })
  })
  const first = await signedIn()
  const writeOld = write
  const second = tab({}, browser.open(true))
  await second.client.login({ username: 'ada', password: 'right' })
  await settle()
  const connections = count(server, EVENTS)
  const snapshot = second.client.getSnapshot()
  writeOld('event: session\ndata: {"expires_at":"2026-01-01T03:00:00.000Z","idle_expires_at":null}\n\n')
  writeOld('event: ended\ndata: {"reason":"revoked"}\n\n:\n\n')
  await pass(100)
  for (const { status } of [first, second]) t.equal(status(), 'signed-in')
  t.equal(second.client.getSnapshot(), snapshot)
  t.equal(count(server, EVENTS), connections)
})

t.test('with `events: false` there is no stream: the page asks when it opens and when it is looked at', async (t) => {
  const { server, browser, signedIn, tab } = createScene(t)
  const { window, client } = await signedIn({ events: false })
  t.strictSame([count(server, EVENTS), count(server, ASK)], [0, 1])
  t.equal('idleExpiresAt' in client.getSnapshot(), true)
  const later = tab({ events: false })
  await settle()
  t.equal(count(server, ASK), 2)
  window.show()
  browser.goOnline()
  await settle()
  t.equal(count(server, ASK), 5)
  only(server).ended = 'revoked'
  later.window.show()
  await settle()
  t.equal(later.reason(), 'revoked')
})

t.test(
  'a page in the back/forward cache has no stream and no lock, and knows what holds when it is back',
  async (t) => {
    const { server, browser, signedIn, tab } = createScene(t)
    const first = await signedIn()
    const second = tab({}, browser.open(true))
    await settle()
    first.window.dispatch('pagehide', { persisted: true })
    await settle()
    t.equal(browser.locks.holderOf(LOCK), second.window)
    first.window.freeze()
    server.end(only(server), 'revoked')
    await pass(100)
    first.window.dispatch('pageshow', { persisted: true })
    first.window.resume()
    t.equal(first.reason(), 'revoked')
  }
)

t.test('alone out of the back/forward cache, the page connects at once', async (t) => {
  const { server, signedIn } = createScene(t)
  const { window, reason } = await signedIn()
  window.dispatch('pageshow', { persisted: false })
  await settle()
  t.equal(count(server, EVENTS), 1, 'a page that has just loaded is connected already')
  window.dispatch('pagehide', { persisted: true })
  await settle()
  t.equal(server.streams.size, 0)
  only(server).ended = 'revoked'
  window.dispatch('pageshow', { persisted: true })
  await pass(50)
  t.equal(reason(), 'revoked')
})
