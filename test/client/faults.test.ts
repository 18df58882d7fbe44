import t from 'tap'
import type { FakeWindow } from './fake-browser.js'
import { createScene, pass, settle } from './scene.js'

const ADA = { username: 'ada', password: 'right' }
const RECORD = 'fastify-jwt-session:session'

function throwing(): never {
  throw new DOMException('not allowed', 'SecurityError')
}

const STORAGE_FAULTS: Record<string, (window: FakeWindow) => void> = {
  'localStorage throws at each call (private mode)': (window) => {
    window.localStorage = { getItem: throwing, setItem: throwing, removeItem: throwing } as never
    window.sessionStorage = { clear: throwing } as never
  },
  'localStorage cannot be read at all (sandboxed frame)': (window) => {
    Object.defineProperty(window, 'localStorage', { get: throwing })
    Object.defineProperty(window, 'sessionStorage', { get: throwing })
  },
  'localStorage is null (some web views)': (window) => {
    window.localStorage = null as never
    window.sessionStorage = null as never
  },
  'localStorage is full': (window) => {
    window.localStorage.setItem = throwing
  }
}

for (const [fault, cause] of Object.entries(STORAGE_FAULTS)) {
  t.test(`the client works in memory when ${fault}`, async (t) => {
    const reported = t.capture(console, 'error')
    const { server, browser, tab } = createScene(t)
    const window = browser.open()
    cause(window)
    const { client, status, reason, ends } = tab({}, window)
    t.equal(reason(), null)
    await client.login(ADA)
    await settle()
    t.match(client.getSnapshot(), { user: { id: 'ada' } })
    await client.fetch('/orders')
    t.equal(server.requests.at(-1)?.token, 'token-1')
    window.dispatch('storage')
    t.equal(status(), 'signed-in')
    server.end([...server.sessions.values()][0] as never, 'revoked')
    await pass(1_500)
    t.equal(reason(), 'revoked')
    t.strictSame(ends, ['revoked'])
    await client.login(ADA)
    t.equal(await client.logout(), true)
    t.equal(reason(), 'logged_out')
    t.ok(reported().length <= 4)
  })
}

t.test('a store that has room again is used again', async (t) => {
  const { browser, tab } = createScene(t)
  const window = browser.open()
  const { setItem } = window.localStorage
  window.localStorage.setItem = throwing
  const { client } = tab({}, window)
  await client.login(ADA)
  await settle()
  t.notOk(browser.entries.has(RECORD))
  window.localStorage.setItem = setItem
  await client.logout()
  await settle()
  t.match(JSON.parse(browser.entries.get(RECORD) ?? ''), { reason: 'logged_out' })
})

const LOCK_FAULTS: Record<string, (window: FakeWindow) => void> = {
  'there are no Web Locks (plain HTTP)': (window) => {
    window.navigator = {}
  },
  'Web Locks are not allowed': (window) => {
    window.navigator = { locks: { request: () => Promise.reject(new DOMException('no', 'SecurityError')) } as never }
  }
}

for (const [fault, cause] of Object.entries(LOCK_FAULTS)) {
  for (const transport of ['bearer', 'cookie'] as const) {
    t.test(
      `${transport}: without a stream the page asks when it opens and when it is looked at, when ${fault}`,
      async (t) => {
        const { server, browser, tab } = createScene(t, transport)
        const windows = [browser.open(), browser.open()]
        for (const window of windows) cause(window)
        const [first, second] = windows.map((window) => tab({}, window))
        if (first === undefined || second === undefined) return
        await pass(50)
        await first.client.login(ADA)
        await pass(50)
        for (const { client } of [first, second]) t.match(client.getSnapshot(), { user: { id: 'ada' } })
        const snapshot = first.client.getSnapshot()
        t.ok('user' in snapshot && snapshot.idleExpiresAt, 'the page has asked')
        t.equal(server.streams.size, 0)
        browser.entries.set('draft', 'x')
        const session = [...server.sessions.values()][0]
        if (session) session.ended = 'revoked'
        await pass(10_000)
        t.equal(second.status(), 'signed-in')
        second.window.show()
        await pass(100)
        for (const { reason } of [first, second]) t.equal(reason(), 'revoked')
        t.notOk(browser.entries.has('draft'))
        await first.client.login(ADA)
        t.equal(await first.client.logout(), true)
      }
    )
  }
}

t.test('a page that holds the lock and is frozen stops the others for 1 second at most', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  const { client, reason } = await signedIn()
  browser.entries.set('draft', 'x')
  const frozen = { awake: new Promise<void>(() => {}) }
  void browser.locks.of(frozen).request('fastify-jwt-session:session1000', {}, async () => {})
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(900)
  t.equal(reason(), 'revoked', 'the snapshot does not wait')
  t.ok(browser.entries.has('draft'))
  await pass(200)
  t.notOk(browser.entries.has('draft'))
  const login = client.login(ADA)
  await pass(1_100)
  t.equal((await login).status, 200)
})

t.test('the client needs no `crypto`', async (t) => {
  t.intercept(globalThis, 'crypto', { get: throwing })
  const { signedIn } = createScene(t)
  t.equal((await signedIn()).status(), 'signed-in')
})
