import { mock } from 'node:test'
import t from 'tap'
import type { FakeServer, FakeSession } from './fake-server.js'
import { createScene, pass, settle } from './scene.js'

const EVENTS = 'GET /user/session/events'
const ASK = 'GET /user/session'

const only = ({ sessions }: FakeServer) => [...sessions.values()].at(-1) as FakeSession

/** The server accepts no connection. @returns ends the outage */
function takeDown(server: FakeServer): () => void {
  for (const route of [EVENTS, ASK]) {
    server.answers.set(route, () => Promise.reject(new TypeError('refused')))
  }
  server.restart()
  return () => server.answers.clear()
}

t.test('many restarts in a row do not delay the next connection', async (t) => {
  const { server, signedIn } = createScene(t)
  const { reason } = await signedIn()
  for (let i = 0; i < 10; i++) {
    const bringUp = takeDown(server)
    await pass(2_000)
    bringUp()
    await pass(700)
    t.equal(server.streams.size, 1)
  }
  takeDown(server)
  only(server).ended = 'revoked'
  await pass(2_000)
  server.answers.clear()
  await pass(700)
  t.equal(reason(), 'revoked')
})

for (const transport of ['bearer', 'cookie'] as const) {
  t.test(
    `${transport}: a page that loads while the server is down learns of an end when the server is up`,
    async (t) => {
      const { server, signedIn, tab } = createScene(t, transport)
      const first = await signedIn()
      const bringUp = takeDown(server)
      first.leave()
      const { status, reason } = tab()
      await pass(10_000)
      t.equal(status(), 'signed-in')
      only(server).ended = 'revoked'
      bringUp()
      await pass(700)
      t.equal(reason(), 'revoked')
    }
  )
}

t.test('a page that loads while the server is down keeps a live session', async (t) => {
  const { server, signedIn, tab } = createScene(t, 'cookie')
  const first = await signedIn()
  const bringUp = takeDown(server)
  first.leave()
  const { status, ends } = tab()
  await pass(20_000)
  bringUp()
  await pass(5_100)
  t.equal(status(), 'signed-in')
  t.strictSame(ends, [])
})

t.test('a session that ends while its stream is being opened ends on the page', async (t) => {
  const { server, signedIn } = createScene(t)
  let answer = (_: Response) => {}
  server.answers.set(
    EVENTS,
    () =>
      new Promise<Response>((resolve) => {
        answer = resolve
      })
  )
  const { reason, status } = await signedIn()
  only(server).ended = 'revoked'
  await pass(1_000)
  t.equal(status(), 'signed-in')
  answer(server.ended('revoked'))
  await settle()
  t.equal(reason(), 'revoked')
})

t.test('after a sleep of the computer, in which no timer ran, the page learns of the end', async (t) => {
  for (const isOnlineEvent of [true, false]) {
    const { server, browser, signedIn } = createScene(t)
    const { reason, status } = await signedIn()
    await pass(25_000)
    server.beat()
    await settle()
    // The connection is lost, and no side has closed it.
    server.streams.clear()
    mock.timers.setTime(Date.now() + 8 * 3_600_000)
    t.equal(status(), 'signed-in')
    if (isOnlineEvent) browser.goOnline()
    await pass(isOnlineEvent ? 50 : 63_000)
    t.equal(reason(), 'expired', isOnlineEvent ? 'at once' : 'after 2.5 heartbeats')
  }
})
