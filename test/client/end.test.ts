import t from 'tap'
import { createScene, pass, settle } from './scene.js'

const RECORD = 'fastify-jwt-session:session'

t.test('an end that the server tells of is known in every tab, hidden and frozen ones too', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const tabs = [await signedIn(), tab(), tab({}, browser.open(true)), tab({}, browser.open(true))]
  const frozen = tab()
  await settle()
  tabs[0]?.window.show()
  await settle()
  frozen.window.freeze()
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(50)
  for (const { reason, ends } of tabs) {
    t.equal(reason(), 'revoked')
    t.strictSame(ends, ['revoked'])
  }
  t.equal(frozen.status(), 'signed-in')
  frozen.window.resume()
  t.equal(frozen.reason(), 'revoked', 'as soon as the tab resumes')
  t.strictSame(frozen.ends, ['revoked'])
})

t.test('an answer with Session-Ended ends the session under which its call was sent, with every status', async (t) => {
  for (const answer of [401, 200, 204, 500]) {
    const { server, signedIn } = createScene(t)
    const { client, reason, ends } = await signedIn()
    const body = answer === 204 ? null : '{}'
    const headers = { 'session-ended': 'replaced' }
    server.answers.set('GET /orders', () => new Response(body, { status: answer, headers }))
    await client.fetch('/orders')
    t.equal(reason(), 'replaced')
    t.strictSame(ends, ['replaced'])
  }
})

t.test('a late answer of an older session touches neither the stores nor a newer login', async (t) => {
  for (const late of ['revoked', 'logged_in_again']) {
    const { server, browser, signedIn } = createScene(t)
    const { client, ends } = await signedIn()
    let answer = (_: Response) => {}
    const answered = new Promise<Response>((resolve) => {
      answer = resolve
    })
    server.answers.set('GET /orders', () => answered)
    // The page does not abort a call that it has not sent with the client's signal: so does a service worker's.
    const { fetch } = await withoutAbort(client)
    const call = fetch('/orders')
    await settle()
    await client.login({ username: 'ada', password: 'right' })
    await settle()
    browser.entries.set('draft', 'x')
    answer(server.ended(late))
    await call
    await pass(5_000)
    t.match(client.getSnapshot(), { status: 'signed-in' }, late)
    t.strictSame([ends, browser.entries.get('draft')], [[], 'x'])
  }
  /** A client whose calls are not aborted. */
  async function withoutAbort<T>(client: T): Promise<T> {
    t.intercept(AbortController.prototype, 'abort', { value: () => {} })
    return client
  }
})

t.test('another 401 of the application, a 403, a 500, a 503 and a lost answer end nothing', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  const { client, ends, status } = await signedIn()
  browser.entries.set('draft', 'x')
  const answers: (() => Response)[] = [
    () => new Response('no', { status: 401 }),
    () => server.json(401, { code: 'FST_JWT_SESSION_NOT_FRESH' }),
    () => server.json(401, { code: 'FST_JWT_SESSION_MISSING' }),
    () => server.json(401, { code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' }),
    () => server.json(401, { code: 'MINE', reason: 'revoked' }),
    () => server.json(401, []),
    () => server.json(403, { code: 'FST_JWT_SESSION_ENDED', reason: 'revoked' }),
    () => server.json(500, {}),
    () => server.json(503, { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' }, { 'retry-after': '1' })
  ]
  for (const answer of answers) {
    server.answers.set('GET /orders', answer)
    t.equal((await client.fetch('/orders')).status, answer().status)
    await settle()
    t.equal(status(), 'signed-in')
  }
  server.answers.set('GET /orders', () => Promise.reject(new TypeError('reset')))
  await t.rejects(client.fetch('/orders'))
  t.equal(status(), 'signed-in')
  t.strictSame([ends, browser.entries.get('draft')], [[], 'x'])
})

t.test('a 401 ENDED or LOGIN_NEEDED without Session-Ended shows the login and empties nothing', async (t) => {
  const bodies = [
    [{ code: 'FST_JWT_SESSION_ENDED', reason: 'revoked' }, 'revoked'],
    [{ code: 'FST_JWT_SESSION_LOGIN_NEEDED' }, 'login_needed']
  ] as const
  for (const [body, expected] of bodies) {
    const { server, browser, tab, signedIn } = createScene(t)
    const { client, window, ends, reason } = await signedIn()
    const other = tab()
    browser.entries.set('draft', 'of ada')
    browser.databases.add('mail')
    for (const { sessionStorage } of [window, other.window]) sessionStorage.setItem('filter', 'of ada')
    server.answers.set('GET /orders', () => server.json(401, body))
    await client.fetch('/orders')
    await pass(2_000)
    t.strictSame([reason(), other.reason()], [expected, expected])
    t.strictSame([ends, other.ends], [[expected], [expected]])
    const left = [browser.entries.get('draft'), browser.databases.size, window.entries.size, other.window.entries.size]
    t.strictSame(left, ['of ada', 1, 1, 1])

    await client.login({ username: 'ada', password: 'right' })
    await pass(100)
    t.equal(browser.entries.get('draft'), 'of ada', 'the same user finds the data')
    await client.logout()
    t.equal(browser.entries.get('draft'), undefined)
  }
})

t.test('after an end that emptied nothing another user finds nothing of the last user', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const { client, window, ends } = await signedIn()
  const other = tab()
  browser.entries.set('draft', 'of ada')
  for (const { sessionStorage } of [window, other.window]) sessionStorage.setItem('filter', 'of ada')
  server.answers.set('GET /orders', () => server.json(401, { code: 'FST_JWT_SESSION_LOGIN_NEEDED' }))
  await client.fetch('/orders')
  await settle()
  const later = tab()
  later.window.sessionStorage.setItem('filter', 'of ada')
  await client.login({ username: 'bob', password: 'right' })
  await pass(100)
  t.equal(browser.entries.get('draft'), undefined)
  for (const { entries } of [window, other.window, later.window]) t.equal(entries.size, 0)
  t.strictSame(ends, ['login_needed'])
})

t.test(
  '`logged_in_again` ends nothing until the server says it once more: the answer to the login may be under way',
  async (t) => {
    const { server, signedIn, tab } = createScene(t)
    const first = await signedIn()
    const second = tab()
    await settle()
    const [old] = [...server.sessions.values()]
    let answerLogin = () => {}
    server.answers.set('POST /user/login', () => {
      const { token, user } = server.open('ada')
      server.end(old as never, 'logged_in_again')
      const answer = server.json(200, { token_type: 'Bearer', access_token: token, expires_in: 43_200, user })
      return new Promise((resolve) => {
        answerLogin = () => resolve(answer)
      })
    })
    let answerCheck = () => {}
    server.answers.set('GET /user/session', () => {
      return new Promise((resolve) => {
        answerCheck = () => resolve(server.ended('logged_in_again'))
      })
    })
    const login = second.client.login({ username: 'ada', password: 'right' })
    await settle()
    t.equal((await first.client.fetch('/orders')).status, 401)
    await settle()
    t.equal(first.status(), 'signed-in')
    answerLogin()
    await login
    answerCheck()
    await pass(2_000)
    for (const { ends, status } of [first, second]) {
      t.equal(status(), 'signed-in')
      t.strictSame(ends, [])
    }
  }
)

t.test('a session whose replacement never arrives shows the login', async (t) => {
  const { server, browser, signedIn } = createScene(t)
  const { reason } = await signedIn()
  browser.entries.set('draft', 'x')
  server.end([...server.sessions.values()][0] as never, 'logged_in_again')
  await pass(1_500)
  t.equal(reason(), 'logged_in_again')
  t.equal(browser.entries.get('draft'), 'x')
})

t.test(
  'an end: token, calls, listeners, sessionStorage, snapshot, shared stores, login page, in this order',
  async (t) => {
    const { server, browser, signedIn } = createScene(t)
    const order: string[] = []
    const { client, window } = await signedIn({ loginUrl: '/login' })
    browser.entries.set('draft', 'x')
    window.sessionStorage.setItem('filter', 'y')
    server.answers.set('GET /slow', ({ init }) => {
      init.signal?.addEventListener('abort', () => {
        order.push(`call aborted, ${browser.entries.get(RECORD)?.includes('token-') ? 'with' : 'without'} token`)
      })
      return new Promise<Response>(() => {})
    })
    const slow = t.rejects(client.fetch('/slow'), { name: 'AbortError' })
    client.onEnd((reason) => {
      order.push(`listener: ${reason}, ${client.getSnapshot().status}, ${window.entries.size} in sessionStorage`)
    })
    client.subscribe(() => {
      order.push(
        `${client.getSnapshot().status}, ${window.entries.size} in sessionStorage, draft ${browser.entries.get('draft')}`
      )
    })
    window.location.replace = (url) => void order.push(`${url}, draft ${browser.entries.get('draft')}`)
    await settle()
    server.end([...server.sessions.values()][0] as never, 'revoked')
    await pass(100)
    await slow
    t.strictSame(order, [
      'call aborted, without token',
      'listener: revoked, signed-in, 1 in sessionStorage',
      'signed-out, 0 in sessionStorage, draft x',
      '/login, draft undefined'
    ])
  }
)

t.test('the body of a call under way is aborted too, and the body of a refusal is not', async (t) => {
  const { server, signedIn } = createScene(t)
  const { client } = await signedIn()
  server.answers.set('GET /export', ({ init }) => {
    const start = (controller: ReadableStreamDefaultController) =>
      init.signal?.addEventListener('abort', () => controller.error(init.signal?.reason))
    return new Response(new ReadableStream({ start }))
  })
  const download = (await client.fetch('/export')).text()
  const failed = t.rejects(download, { name: 'AbortError' })
  const [session] = [...server.sessions.values()]
  if (session) session.ended = 'revoked'
  const refusal = await client.fetch('/orders')
  await failed
  t.match(await refusal.json(), { reason: 'revoked' }, 'the caller can read the refusal')
})

t.test('every open tab goes to the login page, and a page that is opened after the end does not', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const tabs = [await signedIn({ loginUrl: '/login' }), tab({ loginUrl: '/login' })]
  await settle()
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(100)
  const later = tab({ loginUrl: '/login' })
  await pass(2_000)
  t.strictSame(
    [...tabs, later].map(({ window }) => window.visited),
    [['/login'], ['/login'], []]
  )
  t.equal(later.reason(), 'revoked', 'the page knows why')
})

t.test('an end is final: a record that is written late does not open the session again', async (t) => {
  const { server, browser, tab, signedIn } = createScene(t)
  const { window, reason } = await signedIn()
  const other = tab()
  const live = browser.entries.get(RECORD) ?? ''
  server.end([...server.sessions.values()][0] as never, 'revoked')
  await pass(100)
  other.window.localStorage.setItem(RECORD, live)
  await settle()
  t.strictSame([reason(), other.reason()], ['revoked', 'revoked'])
  t.notOk(browser.entries.get(RECORD)?.includes('token-'))
  window.dispatch('storage')
  t.equal(reason(), 'revoked')
})

t.test('a tab that missed a whole session learns the last end only', async (t) => {
  const { server, tab, signedIn } = createScene(t)
  const first = await signedIn()
  const frozen = tab()
  frozen.window.sessionStorage.setItem('filter', 'of ada')
  await settle()
  first.window.show()
  await settle()
  frozen.window.freeze()
  await first.client.logout()
  await first.client.login({ username: 'bob', password: 'right' })
  await settle()
  server.end([...server.sessions.values()][1] as never, 'revoked')
  await pass(100)
  frozen.window.resume()
  await settle()
  t.equal(frozen.reason(), 'revoked')
  t.strictSame(frozen.ends, ['revoked'])
  t.equal(frozen.window.entries.size, 0)
})
