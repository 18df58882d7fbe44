import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { logIn, logout, withToken } from '../fixtures/app.js'
import { type CustodyAppOptions, createCustodyApp, numberOf, setClockAhead } from '../fixtures/custody-app.js'
import { createSharedStore } from '../fixtures/shared-store.js'
import { startTokenUpstream, type TokenUpstream } from '../fixtures/token-upstream.js'
import { until } from '../fixtures/until.js'

const isLock = (text: string) => text.includes('|')
const TIMEOUT_MS = 1_000

async function createInstances(t: Test, count: number, options: CustodyAppOptions = {}) {
  const upstream = await startTokenUpstream(t)
  const shared = createSharedStore(t)
  const apps: FastifyInstance[] = []
  while (apps.length < count) {
    apps.push(
      await createCustodyApp(t, upstream, { store: shared.store, upstream: { timeoutMs: TIMEOUT_MS }, ...options })
    )
  }
  return { upstream, shared, apps: apps as [FastifyInstance, FastifyInstance, FastifyInstance] }
}

/** Holds refreshes until the returned function is called. */
function holdRefreshes(upstream: TokenUpstream): () => void {
  let goOn = () => {}
  const held = new Promise<void>((resolve) => {
    goOn = resolve
  })
  upstream.onRefresh = async () => {
    await held
    return false
  }
  return goOn
}

t.test('while one instance refreshes, the others wait, or use a token that is still good', async (t) => {
  const { upstream, apps } = await createInstances(t, 2, { upstream: { timeoutMs: 10_000 } })
  const token = await logIn(apps[0])
  const goOn = holdRefreshes(upstream)
  const setBack = setClockAhead(t, 580)
  const first = numberOf(apps[0], token)
  await until(() => upstream.refreshes.length === 1)
  t.equal(await numberOf(apps[1], token), 1, 'still good')
  const second = numberOf(apps[1], token, 1)
  await delay(50)
  t.equal(upstream.refreshes.length, 1)
  goOn()
  t.strictSame(await Promise.all([first, second]), [2, 2])
  t.equal(upstream.refreshes.length, 1)
  setBack()
})

t.test(
  'the lock of a process that was killed is taken over, and what is lost is not more than one login',
  async (t) => {
    const { upstream, shared, apps } = await createInstances(t, 2)
    const [token, other] = [await logIn(apps[0]), await logIn(apps[0], 'bob')]
    // As a process does that is killed before it sends the refresh.
    for (const session of await apps[0].sessions.list('ada')) {
      const text = await shared.store.readTokens?.(session.id)
      await shared.store.writeTokens?.(session.id, `dead|${text}`, text ?? null)
    }
    const startedAt = performance.now()
    t.strictSame(await Promise.all([numberOf(apps[0], token, 1), numberOf(apps[1], token, 1)]), [2, 2])
    t.ok(performance.now() - startedAt > TIMEOUT_MS + 1_000)
    t.strictSame(upstream.refreshes, ['ada:1'])

    // And as one that is killed after the upstream has made the refresh token invalid.
    const refreshToken = { refresh_token: 'planted-refresh-token:ada:2' }
    await fetch(`${upstream.baseUrl}/user/refresh`, { method: 'POST', body: JSON.stringify(refreshToken) })
    t.equal(await numberOf(apps[0], token, 2), '401 LOGIN_NEEDED')
    t.equal((await apps[0].inject(withToken(token))).statusCode, 200, 'the session is as good as before')
    t.equal(await numberOf(apps[0], other, 1), 2)
  }
)

t.test('a refresh that was refused leaves no lock', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 2)
  const token = await logIn(apps[0])
  for (const status of [400, 500]) {
    upstream.onRefresh = (response) => Boolean(response.writeHead(status).end())
    await numberOf(apps[0], token, 1)
    t.notOk([...shared.texts.values()].some(isLock))
  }
  upstream.onRefresh = () => false
  t.equal(await numberOf(apps[1], token, 1), 2)
})

t.test('a refusal is a refusal although the lock cannot be left', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 1)
  const token = await logIn(apps[0])
  upstream.onRefresh = (response) => Boolean(response.writeHead(400).end())
  shared.beforeWrite = (text) => {
    if (!isLock(text)) throw new Error('down')
  }
  t.equal(await numberOf(apps[0], token, 1), '401 LOGIN_NEEDED')
  shared.beforeWrite = () => {}
  upstream.onRefresh = () => false
  t.equal(await numberOf(apps[0], token, 1), 2, 'the lock is taken over later')
})

t.test('a refresh that takes longer than its lock is stored all the same', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 2)
  const token = await logIn(apps[0])
  let isSlow = true
  let goOn = () => {}
  // As a process does that is stopped when the upstream has answered: its result comes after the lock was taken over.
  shared.beforeWrite = async (text) => {
    if (isLock(text) || !isSlow) return
    isSlow = false
    await new Promise<void>((resolve) => {
      goOn = resolve
    })
  }
  const slow = await createCustodyApp(t, upstream, { store: shared.store, storeTimeoutMs: 10_000 })
  const first = numberOf(slow, token, 1)
  await until(() => upstream.accepted.length === 1)
  t.equal(await numberOf(apps[1], token, 1), '401 LOGIN_NEEDED', 'the upstream refuses the second refresh')
  goOn()
  t.equal(await first, 2)
  t.equal(await numberOf(apps[1], token, 1), 2, 'nothing is lost')
  t.strictSame(upstream.refreshes, ['ada:1', 'ada:1'])
})

t.test('a refresh that is refused because another instance was faster gets the tokens of that instance', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 2, { upstream: { timeoutMs: 10_000 } })
  const token = await logIn(apps[0])
  const [{ id } = { id: '' }] = await apps[0].sessions.list('ada')
  const goOn = holdRefreshes(upstream)
  const first = numberOf(apps[0], token, 1)
  await until(() => upstream.refreshes.length === 1)
  // Without a lock in the way the second instance refreshes too.
  const locked = shared.texts.get(id) ?? ''
  await shared.store.writeTokens?.(id, locked.slice(locked.indexOf('|') + 1), locked)
  const second = numberOf(apps[1], token, 1)
  await until(() => upstream.refreshes.length === 2)
  goOn()
  t.strictSame(await Promise.all([first, second]), [2, 2])
  t.equal(upstream.accepted.length, 1)
})

t.test('a lock that was written although its reply was lost is used', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 1)
  const token = await logIn(apps[0])
  shared.afterWrite = (text) => {
    if (isLock(text)) throw new Error('lost')
  }
  t.equal(await numberOf(apps[0], token, 1), 2)
  shared.beforeWrite = (text) => {
    if (isLock(text)) throw new Error('down')
  }
  t.equal(await numberOf(apps[0], token, 2), '503 STORE_UNAVAILABLE', 'without a lock there is no refresh')
  t.equal(upstream.refreshes.length, 1)
  const setBack = setClockAhead(t, 580)
  t.equal(await numberOf(apps[0], token), 2, 'still good')
  setBack()
})

t.test('two instances that see the same box refresh once', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 2, { upstream: { timeoutMs: 10_000 } })
  const token = await logIn(apps[0])
  let waiting = 0
  shared.beforeWrite = async (text) => {
    if (!isLock(text) || waiting >= 2) return
    waiting++
    await until(() => waiting >= 2)
  }
  t.strictSame(await Promise.all([numberOf(apps[0], token, 1), numberOf(apps[1], token, 1)]), [2, 2])
  t.equal(waiting, 2)
  t.equal(upstream.refreshes.length, 1)
})

t.test('a store that never replaces the text is as good as down, and delays no close', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 1)
  const token = await logIn(apps[0])
  let writes = 0
  shared.store.writeTokens = async () => ++writes > 1_000
  t.equal(await numberOf(apps[0], token, 1), '503 STORE_UNAVAILABLE')
  t.equal(writes, 10)
  t.equal(await numberOf(apps[0], token), 1, 'a token that is still good is used')
  t.strictSame(upstream.refreshes, [])
})

t.test('calls of one process at the same time take the lock once', async (t) => {
  const { shared, apps } = await createInstances(t, 1, { upstream: { timeoutMs: 10_000 } })
  const token = await logIn(apps[0])
  const writes: string[] = []
  shared.beforeWrite = (text) => writes.push(text)
  const numbers = await Promise.all(Array.from({ length: 20 }, () => numberOf(apps[0], token, 1)))
  t.strictSame(new Set(numbers), new Set([2]))
  t.strictSame(writes.map(isLock), [true, false])
})

t.test('a session that ends during a refresh stays ended, and its request learns so', async (t) => {
  const { upstream, shared, apps } = await createInstances(t, 1, { upstream: { timeoutMs: 10_000 } })
  const token = await logIn(apps[0])
  const goOn = holdRefreshes(upstream)
  const asking = numberOf(apps[0], token, 1)
  await until(() => upstream.refreshes.length === 1)
  await apps[0].inject(logout(token))
  goOn()
  t.equal(await asking, '401 ENDED')
  t.equal(await numberOf(apps[0], token), '401 ENDED')
  t.ok(isLock([...shared.texts.values()].at(-1) ?? ''), 'nothing was stored after the end')
})

t.test('a session that has ended since its request began is an ended session, not one without tokens', async (t) => {
  const upstream = await startTokenUpstream(t)
  const outcomes: unknown[] = []
  const app = await createCustodyApp(t, upstream, {}, {}, (app) =>
    app.get('/ends', { preHandler: app.verifySession }, async ({ session }) => {
      await app.sessions.revoke(session.id)
      outcomes.push(await session.upstream.accessToken().catch(({ code, reason }) => [code, reason]))
    })
  )
  await app.inject(withToken(await logIn(app), { url: '/ends' }))
  t.strictSame(outcomes, [['FST_JWT_SESSION_ENDED', 'revoked']])
})
