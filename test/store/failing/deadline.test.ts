import { setTimeout as delay } from 'node:timers/promises'
import type { InjectOptions } from 'fastify'
import t from 'tap'
import { createMemoryStore, type SessionStore } from '../../../lib/index.js'
import { createApp, logIn, withToken } from '../../fixtures/app.js'
import { createHost } from '../../fixtures/host.js'
import { freezeClock, upstream } from '../../fixtures/tokens.js'
import { until } from '../../fixtures/until.js'

/**
 * Enough for one operation, too short for two. A reply that has arrived at the deadline counts, so the difference is
 * longer than the pauses of a busy machine.
 */
const OPERATION_MS = 1_000
const STORE_TIMEOUT_MS = 1_500

/** A memory store whose operations take `OPERATION_MS` each while `isSlow` is set. */
function createSlowStore() {
  const state = { isSlow: false }
  const slowed = Object.entries(createMemoryStore()).map(([name, method]) => [
    name,
    async (...args: unknown[]) => {
      if (state.isSlow) await delay(OPERATION_MS)
      return (method as (...args: unknown[]) => unknown)(...args)
    }
  ])
  return { state, store: Object.fromEntries(slowed) as SessionStore }
}

t.test('a request with several store calls waits at most storeTimeoutMs in total', async (t) => {
  const { state, store } = createSlowStore()
  const options = { store, upstream, storeTimeoutMs: STORE_TIMEOUT_MS, routes: { sessions: {} } }
  const app = await createApp(t, options)
  const [token, other] = [await logIn(app), await app.sessions.create({ id: 'ada' })]
  const { session } = await app.sessions.create({ id: 'bob' })
  state.isSlow = true

  const requests: Record<string, InjectOptions> = {
    'listing sessions': { url: '/user/sessions' },
    'ending the other sessions': { method: 'DELETE', url: '/user/sessions' },
    'ending one session': { method: 'DELETE', url: `/user/sessions/${other.session.id}` }
  }
  t.equal((await app.inject(withToken(token))).statusCode, 200, 'one operation is in time')
  const updating = t.rejects(app.sessions.update(session.id, { a: 1 }), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  const sent = Object.entries(requests).map(async ([name, request]) => ({
    name,
    answer: await app.inject(withToken(token, request))
  }))
  for (const { name, answer } of await Promise.all(sent)) t.equal(answer.statusCode, 503, name)
  await updating
})

const codesOf = ({ code, cause }: { code: string; cause: { code: string } }) => `${code} because of ${cause.code}`

t.test('queued updates of one session wait for the store at most storeTimeoutMs in total', async (t) => {
  const memory = createMemoryStore()
  let isStalled = false
  let calls = 0
  const find: SessionStore['find'] = async (id) => {
    calls++
    return isStalled ? new Promise<never>(() => {}) : memory.find(id)
  }
  let outcomes: PromiseSettledResult<unknown>[] = []
  const { app } = await createHost(t, {
    options: { store: { ...memory, find }, upstream, storeTimeoutMs: STORE_TIMEOUT_MS },
    after(app) {
      app.get('/me', { preHandler: app.verifySession }, async ({ session }) => {
        isStalled = true
        calls = 0
        outcomes = await Promise.allSettled([
          ...Array.from({ length: 500 }, () => session.update({})),
          ...Array.from({ length: 500 }, () => app.sessions.update(session.id, {}))
        ])
      })
    }
  })
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.ok(calls < 10, `${calls} calls of find()`)
  const codes = outcomes.map((outcome) => outcome.status === 'rejected' && codesOf(outcome.reason))
  t.equal(codes.length, 1_000)
  t.strictSame([...new Set(codes)], ['FST_JWT_SESSION_STORE_UNAVAILABLE because of ETIMEDOUT'])
})

t.test('the guard and an update in the handler share the time budget of the request', async (t) => {
  const { state, store } = createSlowStore()
  const { app } = await createHost(t, {
    options: { store, upstream, storeTimeoutMs: STORE_TIMEOUT_MS },
    after(app) {
      app.get('/me', { preHandler: app.verifySession }, async (request) => {
        // Only the first call of the update is slow: without the guard the update would be in time.
        setTimeout(() => {
          state.isSlow = false
        }, OPERATION_MS / 2)
        return request.session.update({ a: 1 })
      })
    }
  })
  const { token } = await app.sessions.create({ id: 'ada' })
  state.isSlow = true
  const answer = await app.inject(withToken(token))
  t.equal(answer.statusCode, 503)
  t.equal(answer.headers['retry-after'], '1', 'the same header as in a 503 of the guard')
})

t.test(
  'an update that waits for another update of the session waits only for the time left of the request',
  async (t) => {
    const memory = createMemoryStore()
    let isStalled = false
    const find: SessionStore['find'] = async (id) => {
      if (isStalled) return new Promise<never>(() => {})
      await delay(OPERATION_MS)
      return memory.find(id)
    }
    const results: { error: unknown; isFirst: boolean }[] = []
    const { app } = await createHost(t, {
      options: { store: { ...memory, find }, upstream, storeTimeoutMs: STORE_TIMEOUT_MS },
      after(app) {
        app.get('/me', { preHandler: app.verifySession }, async ({ session }) => {
          isStalled = true
          const note = (isFirst: boolean) => (error: unknown) => results.push({ error, isFirst })
          const first = app.sessions.update(session.id, {}).catch(note(true))
          await session.update({}).catch(note(false))
          await first
        })
      }
    })
    const { token } = await app.sessions.create({ id: 'ada' })
    t.equal((await app.inject(withToken(token))).statusCode, 200)
    const error = { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', cause: { code: 'ETIMEDOUT' } }
    t.match(results, [
      { error, isFirst: false },
      { error, isFirst: true }
    ])
  }
)

t.test('a store that had too little time does not count as down', async (t) => {
  const { state, store } = createSlowStore()
  const breaker = { store: { failures: 1, probeAfterMs: 60_000 } }
  const options = { store, upstream, storeTimeoutMs: STORE_TIMEOUT_MS, routes: { sessions: {} }, breaker }
  const app = await createApp(t, options)
  const token = await logIn(app)
  state.isSlow = true
  // In sequence: no response comes between the abandoned call and the next call.
  for (let i = 0; i < 3; i++) {
    t.equal((await app.inject(withToken(token, { url: '/user/sessions' }))).statusCode, 503)
    t.equal((await app.inject(withToken(token))).statusCode, 200)
  }
})

t.test('a login whose reply is lost with the connection is undone after the next connect', async (t) => {
  const memory = createMemoryStore()
  let isConnected = true
  const store: SessionStore = {
    ...memory,
    async create(...args) {
      await memory.create(...args)
      isConnected = false
      throw new Error('Connection is closed')
    },
    end: async (...args) => (isConnected ? memory.end(...args) : Promise.reject(new Error('Connection is closed')))
  }
  const app = await createApp(t, { store, upstream })
  await t.rejects(app.sessions.create({ id: 'ada' }), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  t.equal((await app.sessions.list('ada')).length, 1)
  isConnected = true
  await until(async () => (await app.sessions.list('ada')).length === 0)
})

/** A memory store that loses the replies of create(), and rejects the first `refusals` calls of end(). */
function createForgetfulStore(refusals: number) {
  const memory = createMemoryStore()
  const tries = { count: 0 }
  const store: SessionStore = {
    ...memory,
    async create(...args) {
      await memory.create(...args)
      throw new Error('The reply was lost')
    },
    async end(...args) {
      tries.count++
      if (tries.count <= refusals) throw new Error('The connection is lost')
      return memory.end(...args)
    }
  }
  return { store, tries }
}

t.test('a session whose creation was answered 503 is ended as soon as the store responds', async (t) => {
  const { store, tries } = createForgetfulStore(1)
  const app = await createApp(t, { store })
  await t.rejects(app.sessions.create({ id: 'ada' }), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  t.equal((await app.sessions.list('ada')).length, 1, 'the session was written')
  await until(async () => (await app.sessions.list('ada')).length === 0)
  t.equal(tries.count, 2)
})

t.test('ending an abandoned session is not retried after the absolute expiry', async (t) => {
  const clock = freezeClock(t)
  const { store, tries } = createForgetfulStore(Number.POSITIVE_INFINITY)
  const app = await createApp(t, { store })
  await t.rejects(app.sessions.create({ id: 'ada' }), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  await until(() => tries.count === 1)
  clock.now += 43_200
  const { count } = tries
  await delay(2_500)
  t.equal(tries.count, count)
})

t.test('abandoned logins are ended together, with one pause between two rounds', async (t) => {
  const { store, tries } = createForgetfulStore(100)
  const app = await createApp(t, { store, session: { maxPerUser: 1_000 }, breaker: { store: { failures: 1_000 } } })
  const opening = Array.from({ length: 200 }, () => app.sessions.create({ id: 'ada' }))
  const outcomes = await Promise.allSettled(opening)
  t.strictSame([...new Set(outcomes.map(({ status }) => status))], ['rejected'])
  // A pause for each session would take a hundred seconds.
  await until(async () => (await app.sessions.list('ada')).length === 0, 30)
  t.ok(tries.count >= 300, `${tries.count}`)
})
