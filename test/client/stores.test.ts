import t from 'tap'
import type { FakeBrowser, FakeWindow } from './fake-browser.js'
import { createScene, pass, settle } from './scene.js'

const RECORD = 'fastify-jwt-session:session'

function fill(browser: FakeBrowser, ...windows: FakeWindow[]): void {
  browser.entries.set('draft', 'x').set('theme', 'dark')
  browser.databases.add('mail').add('photos')
  browser.caches.add('api').add('images')
  for (const { sessionStorage } of windows) sessionStorage.setItem('filter', 'y')
}

function left({ entries, databases, caches }: FakeBrowser, ...windows: FakeWindow[]): string[] {
  const own = windows.flatMap((window) => [...window.entries.keys()])
  return [...entries.keys(), ...databases, ...caches, ...own].filter((name) => name !== RECORD)
}

t.test(
  'an end empties localStorage, sessionStorage of every tab, IndexedDB and Cache API, but for `keep`',
  async (t) => {
    const { server, browser, tab, signedIn } = createScene(t)
    const options = { keep: ['theme', 'absent'] }
    const [first, second] = [await signedIn(options), tab(options)]
    fill(browser, first.window, second.window)
    server.end([...server.sessions.values()][0] as never, 'revoked')
    await pass(100)
    t.strictSame(left(browser, first.window, second.window), ['theme'])
    t.ok(browser.entries.has(RECORD))
    t.notOk(JSON.parse(browser.entries.get(RECORD) ?? '').full, 'no page that is opened later empties again')
  }
)

t.test('two apps on one origin do not end each other', async (t) => {
  const { server, tab } = createScene(t)
  const [shop, admin] = [tab({ name: 'shop' }), tab({ name: 'admin' })]
  for (const { client } of [shop, admin]) await client.login({ username: 'ada', password: 'right' })
  await settle()
  t.equal(server.streams.size, 2)
  admin.leave()
  await shop.client.logout()
  await pass(1_000)
  t.strictSame(admin.ends, [])
  const later = tab({ name: 'admin' })
  t.equal(later.status(), 'signed-in')
  await later.client.fetch('/orders')
  t.equal(server.requests.at(-1)?.token, 'token-2')
})

t.test('with `clear` each page calls the function once instead, with the reason', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const calls: string[] = []
  const clear = (reason: string) => {
    calls.push(reason)
    t.equal(browser.locks.holderOf('fastify-jwt-session:session1000'), undefined, 'under no lock')
  }
  const [first, second] = [await signedIn({ clear }), tab({ clear })]
  fill(browser, first.window, second.window)
  server.end([...server.sessions.values()][0] as never, 'expired')
  await pass(100)
  t.strictSame(calls, ['expired', 'expired'])
  t.equal(left(browser, first.window, second.window).length, 8, 'nothing else is emptied')
})

t.test('with `clear` the login of another user waits for the function, in its own page only', async (t) => {
  const { browser, tab, signedIn } = createScene(t)
  const calls: string[] = []
  const clear = async (reason: string) => {
    calls.push(reason)
    await settle()
    browser.entries.delete('draft')
    calls.push('done')
  }
  const [first, second] = [await signedIn({ clear }), tab({ clear })]
  fill(browser, first.window, second.window)
  second.client.subscribe(() => calls.push(second.status()))
  await second.client.login({ username: 'bob', password: 'right' })
  await pass(100)
  t.strictSame(calls.slice(0, 4), ['loading', 'logged_in_again', 'done', 'signed-in'])
  t.equal(calls.filter((call) => call === 'done').length, 1, 'in other pages the function could delete what is new')
  t.strictSame([...second.window.entries.keys()], ['filter'], 'the function is instead of everything')
  t.strictSame([...first.window.entries.keys()], [], 'but their sessionStorage has data of the last user only')
})

t.test('a `clear` that throws, rejects or never settles stops neither the end nor the next login', async (t) => {
  const clears: (() => Promise<void>)[] = [
    () => {
      throw new Error('thrown')
    },
    () => Promise.reject(new Error('rejected')),
    () => new Promise(() => {})
  ]
  const reported = t.capture(console, 'error')
  for (const clear of clears) {
    const { server, browser, signedIn } = createScene(t)
    const { client, window, reason } = await signedIn({ clear, loginUrl: '/login' })
    server.end([...server.sessions.values()][0] as never, 'revoked')
    await pass(50)
    t.equal(reason(), 'revoked')
    await pass(1_100)
    t.strictSame(window.visited, ['/login'])
    t.ok(JSON.parse(browser.entries.get(RECORD) ?? '').full, 'the next page that is opened tries again')
    const login = client.login({ username: 'ada', password: 'right' })
    await pass(2_100)
    t.equal((await login).status, 200)
    t.match(client.getSnapshot(), { status: 'signed-in' })
  }
  t.ok(reported().length >= 2, 'the console has the errors')
})

t.test('a page that is opened after a browser has crashed in the middle of an end empties the stores', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const first = await signedIn()
  fill(browser)
  const stuck = new Promise<void>(() => {})
  void browser.locks.of({ awake: stuck }).request('fastify-jwt-session:session1000', {}, () => stuck)
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await settle()
  first.leave()
  t.equal(left(browser).length, 6)
  const window = browser.open()
  window.sessionStorage.setItem('filter', 'restored')
  const later = tab({}, window)
  await pass(1_500)
  t.strictSame(left(browser, later.window), [])
  t.strictSame(later.ends, [])
})

for (const store of ['databases', 'caches'] as const) {
  t.test(`emptying stops as soon as a newer login may have data: ${store}`, async (t) => {
    const { server, browser, signedIn } = createScene(t)
    const { client, window } = await signedIn()
    fill(browser)
    let list = () => {}
    const listed = new Promise<void>((resolve) => {
      list = resolve
    })
    window.indexedDB = {
      databases: async () => {
        if (store === 'databases') await listed
        return [...browser.databases].map((name) => ({ name }))
      },
      deleteDatabase: (name: string) => browser.databases.delete(name)
    }
    window.caches = {
      keys: async () => {
        if (store === 'caches') await listed
        return [...browser.caches]
      },
      delete: async (name: string) => browser.caches.delete(name)
    }
    server.end([...server.sessions.values()][0] as never, 'revoked')
    await settle()
    const login = client.login({ username: 'bob', password: 'right' })
    await pass(2_100)
    await login
    browser[store].add('of bob')
    list()
    await pass(100)
    t.ok(browser[store].has('of bob'))
  })
}

t.test('an older end empties nothing when the lock comes after a newer login', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  const { client, window } = await signedIn({ loginUrl: '/login' })
  let free = () => {}
  const held = new Promise<void>((resolve) => {
    free = resolve
  })
  void browser.locks.of({ awake: Promise.resolve() }).request('fastify-jwt-session:session1000', {}, () => held)
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(500)
  const { user, token } = server.open('ada')
  const times = { expiresAt: Date.now() + 1_000_000, idleExpiresAt: null }
  browser.entries.set(RECORD, JSON.stringify({ key: 'k', at: Date.now(), user, token, owner: 'ada', ...times }))
  fill(browser)
  free()
  await pass(1_500)
  t.match(client.getSnapshot(), { user })
  t.equal(left(browser).length, 6)
  t.strictSame(window.visited, [])
})

t.test('a store that is missing or fails does not keep the others full', async (t) => {
  const reported = t.capture(console, 'error')
  const faults: ((window: FakeWindow) => void)[] = [
    (window) => {
      window.caches = undefined
    },
    (window) => {
      window.indexedDB = { deleteDatabase: () => {} }
    },
    (window) => {
      window.indexedDB = { databases: () => Promise.reject(new Error('not allowed')) }
    }
  ]
  for (const fault of faults) {
    const { server, browser, signedIn } = createScene(t)
    const { window, reason } = await signedIn()
    fill(browser, window)
    fault(window)
    server.end([...server.sessions.values()][0] as never, 'revoked')
    await pass(1_500)
    t.equal(reason(), 'revoked')
    t.notOk(browser.entries.has('draft'))
    t.equal(window.entries.size, 0)
    t.ok(browser.caches.size === 0 || window.caches === undefined)
  }
  t.equal(reported().length, 1)
})

t.test('a page that resumes later empties the shared stores again, unless a newer login has come', async (t) => {
  for (const hasNewLogin of [false, true]) {
    const { browser, tab, signedIn } = createScene(t)
    const first = await signedIn()
    const frozen = tab()
    await settle()
    first.window.show()
    await settle()
    frozen.window.freeze()
    await first.client.logout()
    await pass(1_000)
    if (hasNewLogin) await first.client.login({ username: 'ada', password: 'right' })
    browser.entries.set('draft', 'written by the last code of the frozen page')
    frozen.window.resume()
    await pass(1_000)
    t.equal(browser.entries.has('draft'), hasNewLogin)
  }
})

t.test('a login empties stores that an end could not empty', async (t) => {
  t.capture(console, 'error')
  const { server, browser, signedIn } = createScene(t)
  const { client, window } = await signedIn()
  window.indexedDB = { databases: () => Promise.reject(new Error('not now')) }
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(1_500)
  t.ok(JSON.parse(browser.entries.get(RECORD) ?? '').full)
  browser.entries.set('draft', 'of the ended session')
  await client.login({ username: 'ada', password: 'right' })
  t.notOk(browser.entries.has('draft'))
})
