import t from 'tap'
import type { FakeServer, FakeSession } from './fake-server.js'
import { createScene, pass, settle } from './scene.js'

const ASK = 'GET /user/session'
const only = ({ sessions }: FakeServer) => [...sessions.values()].at(-1) as FakeSession
const count = ({ routes }: FakeServer, route: string) => routes.filter((seen) => seen === route).length

t.test('times of the server become times of the page, whatever the difference of the clocks', async (t) => {
  for (const skewMs of [0, 3_600_000, -3_600_000, 123_456]) {
    const { server, signedIn } = createScene(t)
    server.skewMs = skewMs
    const { client } = await signedIn()
    const snapshot = client.getSnapshot()
    const { expiresAt, idleExpiresAt } = only(server)
    t.ok('user' in snapshot)
    if (!('user' in snapshot)) return
    t.ok(Math.abs(snapshot.expiresAt + skewMs - expiresAt) <= 500, `${snapshot.expiresAt + skewMs - expiresAt} ms`)
    t.ok(Math.abs(Number(snapshot.idleExpiresAt) + skewMs - Number(idleExpiresAt)) <= 500)
  }
})

t.test('without a readable Date the clocks count as equal', async (t) => {
  const { server, signedIn } = createScene(t)
  server.hasDate = false
  const { client } = await signedIn()
  const { expiresAt, idleExpiresAt } = only(server)
  t.match(client.getSnapshot(), { expiresAt, idleExpiresAt })
})

t.test('without an idle timeout the idle expiry is null', async (t) => {
  const { server, signedIn } = createScene(t)
  server.idleMs = null
  const { client } = await signedIn()
  t.match(client.getSnapshot(), { idleExpiresAt: null })
  await pass(3_600_000)
  t.equal(count(server, ASK), 0)
})

t.test('extend() extends the idle expiry and resolves to the answer', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const { client } = await signedIn()
  const other = tab()
  await pass(600_000)
  const answer = await client.extend()
  t.match(await answer.json(), { user: { id: 'ada' } }, 'the caller can read the answer')
  const snapshot = client.getSnapshot()
  t.ok('user' in snapshot && Number(snapshot.idleExpiresAt) - Date.now() > 1_799_000)
  await settle()
  t.strictSame(other.client.getSnapshot(), snapshot)

  server.answers.set('POST /user/session', () => server.json(503, { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' }))
  t.equal((await client.extend()).status, 503)
  t.equal(client.getSnapshot(), snapshot)
  server.answers.set('POST /user/session', () => Promise.reject(new TypeError('reset')))
  await t.rejects(client.extend(), { name: 'TypeError' })
  t.equal(client.getSnapshot(), snapshot)
})

for (const events of [true, false]) {
  t.test(
    `events ${events}: idle and absolute expiry end the session within a second, also when no event comes`,
    async (t) => {
      for (const kind of ['idle', 'absolute']) {
        const { server, browser, signedIn } = createScene(t)
        if (kind === 'absolute') server.idleMs = null
        const { reason, ends } = await signedIn({ events })
        browser.entries.set('draft', 'x')
        const { expiresAt, idleExpiresAt } = only(server)
        const end = Number(idleExpiresAt ?? expiresAt)
        await pass(end - 2_000 - Date.now())
        t.equal(reason(), undefined)
        await pass(end + 1_000 - Date.now())
        t.equal(reason(), 'expired', kind)
        t.strictSame(ends, ['expired'])
        t.notOk(browser.entries.has('draft'))
      }
    }
  )
}

t.test('at the known end the page asks: a session that was extended elsewhere goes on', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client, status } = await signedIn({ events: false })
  const { length } = server.requests
  const session = only(server)
  session.idleExpiresAt = Number(session.idleExpiresAt) + 600_000
  await pass(1_802_000)
  t.equal(status(), 'signed-in')
  t.equal(server.requests.length, length + 1)
  const snapshot = client.getSnapshot()
  t.ok('user' in snapshot && Math.abs(Number(snapshot.idleExpiresAt) - Number(session.idleExpiresAt)) <= 500)
  await pass(600_000)
  t.equal(status(), 'signed-out')
})

t.test('when the server does not answer at the known end, the page ends the session by itself', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  const { reason, ends } = await signedIn()
  browser.entries.set('draft', 'x')
  browser.goOffline()
  await pass(1_790_000)
  t.equal(reason(), undefined, 'being offline ends nothing')
  await pass(11_000)
  t.equal(reason(), 'expired')
  t.strictSame(ends, ['expired'])
  t.notOk(browser.entries.has('draft'))
  t.equal(server.sessions.size, 1)
})

t.test('a server that does not answer within 5 seconds at the known end counts as without an answer', async (t) => {
  const { server, signedIn } = createScene(t)
  const { reason } = await signedIn()
  server.answers.set(ASK, () => new Promise(() => {}))
  server.restart()
  server.answers.set('GET /user/session/events', () => new Promise(() => {}))
  await pass(1_799_000)
  await pass(4_000)
  t.equal(reason(), undefined)
  await pass(4_000)
  t.equal(reason(), 'expired')
})

t.test(
  'a 503 at the idle expiry ends nothing: the idle timeout stands still; at the absolute expiry it does',
  async (t) => {
    const { server, signedIn } = createScene(t)
    const { reason, client } = await signedIn({ events: false })
    server.answers.set(ASK, () => server.json(503, { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' }))
    await pass(1_800_000 + 60_000)
    t.equal(client.getSnapshot().status, 'signed-in')
    t.ok(count(server, ASK) > 5 && count(server, ASK) < 20, `${count(server, ASK)} tries in a minute`)
    await pass(only(server).expiresAt - Date.now() + 6_000)
    t.equal(reason(), 'expired')
  }
)

t.test('after an outage at the idle expiry the page knows within seconds what holds', async (t) => {
  const { server, signedIn } = createScene(t)
  const { status } = await signedIn({ events: false })
  server.answers.set(ASK, () => server.json(503, {}))
  await pass(1_830_000)
  const session = only(server)
  session.idleExpiresAt = Date.now() + 60_000
  server.answers.clear()
  await pass(6_000)
  t.equal(status(), 'signed-in')
  await pass(61_000)
  t.equal(status(), 'signed-out')
})

t.test('an end that is more than 24 days away sets no timer that fires at once', async (t) => {
  const { server, tab } = createScene(t)
  server.idleMs = null
  const { client, status } = tab({ events: false })
  const { token, user } = server.open('ada', 40 * 86_400)
  await client.adopt({ token_type: 'Bearer', access_token: token, expires_in: 40 * 86_400, user })
  await settle()
  const { length } = server.requests
  await pass(3_600_000)
  t.equal(server.requests.length, length)
  t.equal(status(), 'signed-in')
})

t.test('a page that opens after the known end shows nothing until the server has said what holds', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const first = await signedIn()
  first.leave()
  const session = only(server)
  await pass(1_900_000)
  session.idleExpiresAt = Date.now() + 600_000
  const later = tab()
  await settle()
  t.strictSame(later.snapshots.slice(0, 1), [{ status: 'loading' }])
  t.equal(later.status(), 'loading')
  await pass(20)
  t.equal(later.status(), 'signed-in')
  later.leave()
  await pass(700_000)
  const last = tab()
  await pass(20)
  t.strictSame(
    last.snapshots.map(({ status }) => status),
    ['loading', 'signed-out']
  )
  t.equal(last.reason(), 'expired')
})

t.test('a page that opens after the known end without an answer is signed out', async (t) => {
  const { browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  first.leave()
  await pass(1_900_000)
  browser.isOffline = true
  const later = tab()
  await pass(50)
  t.strictSame(
    later.snapshots.map(({ status }) => status),
    ['loading', 'signed-out']
  )
  t.equal(later.reason(), 'expired')
})

t.test('answers of another form change nothing', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client, window } = await signedIn({ events: false })
  const snapshot = client.getSnapshot()
  const bodies = [{}, { user: { id: 'ada' } }, { expires_at: 'soon', idle_expires_at: null, user: { id: 'ada' } }, []]
  for (const body of bodies) {
    server.answers.set(ASK, () => server.json(200, body))
    window.show()
    await settle()
    t.equal(client.getSnapshot(), snapshot)
  }
})

t.test('an answer that comes after the end of its session opens none', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client, reason } = await signedIn({ events: false })
  const { user, expiresAt } = only(server)
  const body = JSON.stringify({ user, expires_at: new Date(expiresAt).toISOString(), idle_expires_at: null })
  // The body is read by then: an abort does not stop the answer any more.
  const answer = new Response(body)
  const { clone } = answer
  answer.clone = () => {
    void client.logout()
    return clone.call(answer)
  }
  server.answers.set('POST /user/session', () => answer)
  await client.extend()
  await pass(100)
  t.equal(reason(), 'logged_out')
})
