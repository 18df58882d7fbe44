import t, { type Test } from 'tap'
import { TimeBudget } from '../../lib/internal/time-budget.js'
import { createSessionId, splitSessionId } from '../../lib/model/session-id.js'
import { createGuardedStore, type GuardedStore, type GuardedStoreConfig } from '../../lib/store/guarded-store.js'
import { createMemoryStore } from '../../lib/store/memory-store.js'
import type { SessionStore } from '../../lib/store/session-store.js'
import { until } from '../fixtures/until.js'

const TIMEOUT_MS = 60
const UNAVAILABLE = 'FST_JWT_SESSION_STORE_UNAVAILABLE'
const RECORD = 'a record'
const ID = createSessionId('ada')
const TAG = splitSessionId(ID)[0]

const causedBy = (code: string) => ({ code: UNAVAILABLE, cause: { code } })
const OPEN = causedBy('CIRCUIT_OPEN')

function optionsOf() {
  const limit = { max: 100, onFull: 'evict' as const }
  return { expiresAt: Date.now() + 3_600_000, startedMsAgo: 0, limit, replaces: null }
}

/** A copy of the store with some methods replaced. */
function withMethods(store: SessionStore, methods: Record<string, unknown>): SessionStore {
  const own: SessionStore = {
    create: (...args) => store.create(...args),
    find: (...args) => store.find(...args),
    replace: (...args) => store.replace(...args),
    end: (...args) => store.end(...args),
    endAll: (...args) => store.endAll(...args),
    list: (...args) => store.list(...args),
    readTokens: async (...args) => store.readTokens?.(...args) ?? null,
    writeTokens: async (...args) => store.writeTokens?.(...args) ?? false
  }
  return Object.assign(own, methods)
}

/** A memory store with some methods replaced, behind the guard, and the logged lines. */
function createSubject(t: Test, methods: Record<string, unknown>, config: Partial<GuardedStoreConfig> = {}) {
  const memory = createMemoryStore()
  const store = withMethods(memory, methods)
  const lines: string[] = []
  const log = {
    error: (text: string) => lines.push(`error ${text}`),
    info: (text: string) => lines.push(`info ${text}`)
  }
  const breaker = { failures: 1_000, probeAfterMs: 20, maxInFlight: 1_000 }
  const guarded = createGuardedStore(store, { timeoutMs: TIMEOUT_MS, breaker, log, ...config })
  t.teardown(() => {
    guarded.close()
    memory.close()
  })
  return { guarded, memory, lines }
}

const CALLS: Record<string, (store: GuardedStore, budget?: TimeBudget) => Promise<unknown>> = {
  create: (store, budget) => store.create(createSessionId('ada'), RECORD, optionsOf(), budget),
  find: (store, budget) => store.find(ID, budget),
  replace: (store, budget) => store.replace(ID, RECORD, 'another record', budget),
  end: (store, budget) => store.end(ID, 'logged_out', budget),
  endAll: (store, budget) => store.endAll(TAG, 'revoked', null, budget),
  list: (store, budget) => store.list(TAG, budget),
  readTokens: (store, budget) => store.readTokens(ID, budget),
  writeTokens: (store, budget) => store.writeTokens(ID, 'tokens', null, budget)
}

/** Freezes `performance.now()`; the test moves the clock. */
function freezeMonotonicClock(t: Test): { now: number } {
  const clock = { now: 5_000 }
  t.intercept(performance, 'now', { value: () => clock.now })
  return clock
}

const never = () => new Promise<never>(() => {})
const reject = (message: string) => () => Promise.reject(new Error(message))

t.test('replies of the store are passed on', async (t) => {
  const { guarded, memory } = createSubject(t, {})
  t.equal(await guarded.find(ID), null)
  t.equal(await guarded.create(ID, RECORD, optionsOf()), 'created')
  t.strictSame(await guarded.find(ID), { record: RECORD })
  t.strictSame(await guarded.list(TAG), [{ id: ID, record: RECORD }])
  t.equal(await guarded.readTokens(ID), null)
  t.equal(await guarded.writeTokens(ID, 'tokens', null), true)
  t.equal(await guarded.writeTokens(ID, 'next', null), false)
  t.equal(await guarded.readTokens(ID), 'tokens')
  t.equal(await guarded.replace(ID, RECORD, 'a new record'), true)
  t.equal(await guarded.replace(ID, RECORD, 'a new record'), false)
  t.strictSame(await guarded.end(ID, 'logged_out'), { record: 'a new record' })
  t.equal(await guarded.end(ID, 'logged_out'), null)
  t.strictSame(await guarded.find(ID), { ended: 'logged_out' })
  t.equal(await guarded.endAll(TAG, 'revoked', null), undefined)
  t.equal(await guarded.isReady(), true)
  t.notOk('track' in guarded)
  t.equal(await memory.find(createSessionId('ada')), null)
})

const WRONG: readonly unknown[] = [
  undefined,
  '',
  'QUEUED',
  'OK',
  0,
  1,
  Number.NaN,
  1n,
  Symbol('no'),
  true,
  [],
  {},
  Buffer.from(RECORD),
  () => null,
  { record: '' },
  { record: null },
  { record: Buffer.from(RECORD) },
  { ended: 'QUEUED' },
  { ended: 'expired' },
  { ended: '' },
  { ended: null },
  { record: RECORD, ended: 'revoked' },
  [null, RECORD],
  [RECORD],
  [null],
  [{ id: ID }],
  [{ id: ID, record: '' }],
  [{ id: 'ada', record: RECORD }],
  [{ id: createSessionId('bob'), record: RECORD }],
  [{ id: ID, record: RECORD }, undefined]
]

const RIGHT: Record<string, (reply: unknown) => boolean> = {
  create: () => false,
  find: () => false,
  replace: (reply) => reply === true,
  end: (reply) => (reply as { record?: unknown; ended?: unknown } | undefined)?.ended === 'revoked',
  endAll: (reply) => reply === undefined,
  list: (reply) => Array.isArray(reply) && reply.length === 0,
  readTokens: (reply) => reply === null || (typeof reply === 'string' && reply !== ''),
  writeTokens: (reply) => reply === true
}

for (const [name, call] of Object.entries(CALLS)) {
  t.test(`every unexpected reply to ${name}() is a store error`, async (t) => {
    const values = [...WRONG, ...(name === 'find' || name === 'end' ? [] : [null])].filter((v) => !RIGHT[name]?.(v))
    for (const value of values) {
      for (const method of [async () => value, () => value]) {
        const { guarded } = createSubject(t, { [name]: method })
        await t.rejects(call(guarded), causedBy('UNEXPECTED_REPLY'), String(value))
      }
    }
  })

  t.test(`every rejection and exception of ${name}() is a store error`, async (t) => {
    for (const value of [new Error('no'), null, undefined, 'no', 0, { code: 1 }, Object.create(null)]) {
      const throwing = () => {
        throw value
      }
      for (const method of [() => Promise.reject(value), throwing]) {
        const { guarded } = createSubject(t, { [name]: method })
        await t.rejects(call(guarded), { code: UNAVAILABLE })
      }
    }
  })

  t.test(`${name}() settles within the time budget, and is not called without a budget`, async (t) => {
    let calls = 0
    const method = () => {
      calls++
      return never()
    }
    const { guarded } = createSubject(t, { [name]: method })
    await t.rejects(call(guarded), causedBy('ETIMEDOUT'))
    const budget = guarded.newBudget()
    t.equal(budget.totalMs, TIMEOUT_MS)
    await t.rejects(call(guarded, budget), causedBy('ETIMEDOUT'))
    t.equal(calls, 2)
    await t.rejects(call(guarded, budget), causedBy('ETIMEDOUT'))
    t.equal(calls, 2)
  })
}

t.test('a reply that is a class instance or has more fields is accepted', async (t) => {
  class Found {
    record = RECORD
    readAt = 1
  }
  const { guarded } = createSubject(t, { find: async () => new Found(), end: async () => new Found() })
  t.match(await guarded.find(ID), { record: RECORD })
  t.match(await guarded.end(ID, 'revoked'), { record: RECORD })
})

t.test('create() gets a `notAfter` that leaves time for the reply before the deadline', async (t) => {
  const given: number[] = []
  const create = async (_id: string, _record: string, { notAfter }: { notAfter: number }) => {
    given.push(notAfter)
    return 'created'
  }
  let now = 1_900_000_000_000
  t.intercept(Date, 'now', { value: () => now })
  const clock = freezeMonotonicClock(t)
  const { guarded } = createSubject(t, { create }, { timeoutMs: 500 })
  await guarded.create(ID, RECORD, optionsOf())
  const budget = guarded.newBudget()
  await budget.spend(async () => {
    clock.now += 400
  })
  now += 7_000
  await guarded.create(ID, RECORD, optionsOf(), budget)
  t.strictSame(given, [1_900_000_000_450, 1_900_000_007_075])
})

t.test('a failed creation is ended in the background, whether or not the session was written', async (t) => {
  const replies: Record<string, () => unknown> = {
    'never settles': never,
    'replies with another value': async () => 'QUEUED',
    rejects: reject('Connection is closed.'),
    throws() {
      throw new Error('no')
    }
  }
  for (const [name, reply] of Object.entries(replies)) {
    const { guarded, memory } = createSubject(t, {})
    const failing = createGuardedStore(
      withMethods(memory, {
        create: (...args: Parameters<SessionStore['create']>) => {
          void memory.create(...args)
          return reply()
        }
      }),
      {
        timeoutMs: TIMEOUT_MS,
        breaker: { failures: 1, probeAfterMs: 60_000, maxInFlight: 1 },
        log: { error() {}, info() {} }
      }
    )
    const id = createSessionId('ada')
    await t.rejects(failing.create(id, RECORD, optionsOf()), { code: UNAVAILABLE }, name)
    await until(async () => (await memory.find(id)) !== null && (await memory.list(TAG)).length === 0)
    t.strictSame(await guarded.find(id), { ended: 'revoked' })
    failing.close()
    guarded.close()
  }
})

for (const result of ['created', 'full', 'too_late', 'revoked']) {
  t.test(`a creation with the result "${result}" is not ended`, async (t) => {
    const ended: string[] = []
    const end = async (id: string) => {
      ended.push(id)
      return null
    }
    const { guarded } = createSubject(t, { create: async () => result, end })
    t.equal(await guarded.create(ID, RECORD, optionsOf()), result)
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.strictSame(ended, [])
  })
}

t.test('a creation that was not started is not ended', async (t) => {
  const ended: string[] = []
  const end = async (id: string) => {
    ended.push(id)
    return null
  }
  const breaker = { failures: 1, probeAfterMs: 60_000, maxInFlight: 1 }
  const { guarded } = createSubject(t, { find: reject('no'), end }, { breaker })
  const spent = new TimeBudget(1)
  await t.rejects(spent.spend(never))
  await t.rejects(guarded.create(ID, RECORD, optionsOf(), spent), causedBy('ETIMEDOUT'))
  await t.rejects(guarded.find(ID), { code: UNAVAILABLE })
  await t.rejects(guarded.create(ID, RECORD, optionsOf()), OPEN)
  await new Promise((resolve) => setTimeout(resolve, 20))
  t.strictSame(ended, [])
})

t.test('a failed creation is ended unless the store has refused the creation', async (t) => {
  const refusal = new Error('OOM command not allowed')
  const unknown = new Error('Connection is closed.')
  const isRefused = (error: unknown) => error === refusal
  for (const [error, count] of [
    [refusal, 0],
    [unknown, 1]
  ] as const) {
    for (const create of [() => Promise.reject(error), () => Promise.reject(error).finally(() => {})]) {
      const ended: string[] = []
      const end = async (id: string) => {
        ended.push(id)
        return null
      }
      const { guarded } = createSubject(t, { create, end }, { isRefused })
      await t.rejects(guarded.create(ID, RECORD, optionsOf()), { code: UNAVAILABLE })
      await new Promise((resolve) => setTimeout(resolve, 20))
      t.equal(ended.length, count, error.message)
    }
  }
  const { guarded, memory } = createSubject(t, { create: never }, { isRefused: () => true })
  await t.rejects(guarded.create(ID, RECORD, optionsOf()), causedBy('ETIMEDOUT'))
  await until(async () => (await memory.find(ID)) !== null)
})

t.test('a creation that is acknowledged after it was abandoned is ended once more', async (t) => {
  let acknowledge = (_result: string) => {}
  const create = () =>
    new Promise((resolve) => {
      acknowledge = resolve
    })
  const ended: string[] = []
  const end = async (id: string) => {
    ended.push(id)
    return null
  }
  for (const [result, times] of [
    ['created', 2],
    ['too_late', 1],
    ['full', 1]
  ] as const) {
    ended.length = 0
    const { guarded } = createSubject(t, { create, end })
    await t.rejects(guarded.create(ID, RECORD, optionsOf()), causedBy('ETIMEDOUT'))
    await until(() => ended.length === 1)
    acknowledge(result)
    await new Promise((resolve) => setTimeout(resolve, 20))
    t.strictSame(
      ended,
      Array.from({ length: times }, () => ID),
      result
    )
  }
})

t.test('abandoned sessions are ended through the plain store, until the absolute expiry', async (t) => {
  let tries = 0
  const plainStore = {
    end: async () => {
      tries++
      throw new Error('no')
    }
  }
  const waited: string[] = []
  const end = async (id: string) => waited.push(id)
  const { guarded } = createSubject(t, { create: never, end }, { plainStore })
  await t.rejects(guarded.create(ID, RECORD, { ...optionsOf(), expiresAt: Date.now() + 500 }), causedBy('ETIMEDOUT'))
  await new Promise((resolve) => setTimeout(resolve, 1_500))
  t.strictSame([tries, waited], [1, []], 'the pause is longer than the life of the session')
})

t.test('endLater() ends a session also while the circuit is open', async (t) => {
  const breaker = { failures: 1, probeAfterMs: 60_000, maxInFlight: 1 }
  const { guarded, memory } = createSubject(t, { find: reject('no') }, { breaker })
  await guarded.create(ID, RECORD, optionsOf())
  await t.rejects(guarded.find(ID), { code: UNAVAILABLE })
  guarded.endLater(ID, 'logged_out', Date.now() + 3_600_000)
  await until(async () => (await memory.list(TAG)).length === 0)
  t.strictSame(await memory.find(ID), { ended: 'logged_out' })
})

t.test('a circuit that opens and closes is logged, with the name of the server if there are several', async (t) => {
  const clock = freezeMonotonicClock(t)
  for (const partitionOf of [undefined, () => '10.0.0.1:6379']) {
    let isAway = true
    const breaker = { failures: 1, probeAfterMs: 1_000, maxInFlight: 1 }
    const find = async () => (isAway ? Promise.reject(new Error('no')) : null)
    const { guarded, lines } = createSubject(t, { find }, { breaker, ...(partitionOf && { partitionOf }) })
    await t.rejects(guarded.find(ID), { code: UNAVAILABLE })
    await t.rejects(guarded.find(ID), OPEN)
    isAway = false
    clock.now += 1_000
    t.equal(await guarded.find(ID), null)
    const name = partitionOf === undefined ? 'The session store' : 'The session store at 10.0.0.1:6379'
    t.match(lines, [`error ${name} does not respond`, `info ${name} responds again`])
    t.equal(lines.length, 2)
  }
})

t.test('a server that does not respond affects only the users on that server', async (t) => {
  const breaker = { failures: 3, probeAfterMs: 5, maxInFlight: 10 }
  const partitionOf = (tag: string) => (tag === TAG ? 'dead' : 'healthy')
  const find = (id: string) => (id.startsWith(TAG) ? never() : Promise.resolve(null))
  const { guarded } = createSubject(t, { find }, { breaker, partitionOf })
  const healthy = createSessionId('bob')
  const outcomes: unknown[] = []
  const isOver = { now: false }
  const dead = Promise.all(
    Array.from({ length: 10 }, async () => {
      while (!isOver.now) {
        await guarded.find(ID).catch(() => {})
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
    })
  )
  for (let i = 0; i < 100; i++) {
    outcomes.push(await guarded.find(healthy).catch((error) => error.cause.code))
    await new Promise((resolve) => setTimeout(resolve, 3))
  }
  isOver.now = true
  await dead
  t.strictSame(new Set(outcomes), new Set([null]))
})

t.test('maxInFlight counts calls per server', async (t) => {
  const breaker = { failures: 1_000, probeAfterMs: 5, maxInFlight: 2 }
  const { guarded } = createSubject(t, { find: never }, { breaker, partitionOf: (tag) => tag })
  const outcome = (id: string) => guarded.find(id).catch((error) => error.cause.code)
  const ids = [ID, ID, ID, ...['bob', 'bob', 'eve'].map(createSessionId)]
  const outcomes = await Promise.all(ids.map(outcome))
  t.strictSame(outcomes.toSorted(), [...Array.from({ length: 5 }, () => 'ETIMEDOUT'), 'TOO_MANY_IN_FLIGHT'])
})

t.test('an error reply of Redis counts as a response, whatever the class and the message', async (t) => {
  class A extends Error {}
  const breaker = { failures: 1, probeAfterMs: 60_000, maxInFlight: 10 }
  const replies = [
    "OOM command not allowed when used memory > 'maxmemory'.",
    "READONLY You can't write against a read only replica.",
    'NOREPLICAS Not enough good replicas to write.',
    'CLUSTERDOWN The cluster is down',
    'MISCONF Redis is configured to save RDB snapshots',
    'NOPERM this user has no permissions',
    'ERR unknown command'
  ]
  for (const message of replies) {
    const { guarded } = createSubject(t, { replace: () => Promise.reject(new A(message)) }, { breaker })
    for (let i = 0; i < 3; i++) {
      await t.rejects(guarded.replace(ID, RECORD, RECORD), causedBy(message.split(' ')[0] ?? ''))
    }
    t.equal(await guarded.find(ID), null)
  }
  const failures = [
    new A('Connection is closed.'),
    new A('Command timed out'),
    Object.assign(new A('ECONNREFUSED 10.0.0.1'), { code: 'ECONNREFUSED' }),
    'OOM command not allowed'
  ]
  for (const error of failures) {
    const { guarded } = createSubject(t, { replace: () => Promise.reject(error) }, { breaker })
    await t.rejects(guarded.replace(ID, RECORD, RECORD), { code: UNAVAILABLE })
    await t.rejects(guarded.find(ID), OPEN, String(error))
  }
})

t.test('an unexpected reply counts as a response', async (t) => {
  const breaker = { failures: 1, probeAfterMs: 60_000, maxInFlight: 10 }
  const refused = Object.assign(new Error('a length'), { code: 'UNEXPECTED_REPLY' })
  for (const list of [async () => 'QUEUED', () => Promise.reject(refused)]) {
    const { guarded } = createSubject(t, { list }, { breaker })
    await t.rejects(guarded.list(TAG), causedBy('UNEXPECTED_REPLY'))
    t.equal(await guarded.find(ID), null)
  }
})

t.test('a timeout after most of the budget was spent does not open the circuit', async (t) => {
  const breaker = { failures: 1, probeAfterMs: 60_000, maxInFlight: 10 }
  // A busy machine may stall for long, but not for half of the timeout.
  const timeoutMs = 1_000
  const { guarded } = createSubject(t, { list: never }, { breaker, timeoutMs })
  const budget = guarded.newBudget()
  await guarded.find(ID, budget)
  await budget.spend(() => new Promise((resolve) => setTimeout(resolve, timeoutMs / 2)))
  await t.rejects(guarded.list(TAG, budget), causedBy('ETIMEDOUT'))
  t.equal(await guarded.find(ID), null, 'the circuit is still closed')
  await t.rejects(guarded.find(ID, budget), causedBy('ETIMEDOUT'))
  t.equal(await guarded.find(ID), null)
  await t.rejects(guarded.list(TAG), causedBy('ETIMEDOUT'))
  await t.rejects(guarded.find(ID), OPEN, 'a timeout after the whole budget opens the circuit')
})

t.test('a failed connection opens the circuit, whatever budget was left', async (t) => {
  const breaker = { failures: 1, probeAfterMs: 60_000, maxInFlight: 10 }
  const { guarded } = createSubject(t, { list: reject('Connection is closed.') }, { breaker })
  const budget = guarded.newBudget()
  await guarded.find(ID, budget)
  await t.rejects(guarded.list(TAG, budget), { code: UNAVAILABLE })
  await t.rejects(guarded.find(ID), OPEN)
})

t.test('a call without any budget left is not the probe of an open circuit', async (t) => {
  let isAway = true
  const find = async () => (isAway ? Promise.reject(new Error('no')) : null)
  const breaker = { failures: 1, probeAfterMs: 1, maxInFlight: 10 }
  const { guarded } = createSubject(t, { find }, { breaker })
  await t.rejects(guarded.find(ID), { code: UNAVAILABLE })
  isAway = false
  const spent = new TimeBudget(1)
  await t.rejects(spent.spend(never))
  await new Promise((resolve) => setTimeout(resolve, 5))
  await t.rejects(guarded.find(ID, spent), causedBy('ETIMEDOUT'))
  t.equal(await guarded.find(ID), null)
})

t.test('isReady() calls the store while the circuit is open, settles in time, and never rejects', async (t) => {
  const breaker = { failures: 1, probeAfterMs: 60_000, maxInFlight: 1 }
  const { guarded } = createSubject(t, { list: reject('no') }, { breaker })
  await t.rejects(guarded.list(TAG), { code: UNAVAILABLE })
  await t.rejects(guarded.find(ID), OPEN)
  t.equal(await guarded.isReady(), true)
  for (const find of [never, async () => 'QUEUED', reject('no'), () => undefined]) {
    t.equal(await createSubject(t, { find }).guarded.isReady(), false)
  }
  const throwing = () => {
    throw new Error('no')
  }
  for (const isReady of [never, async () => false, reject('no'), throwing, async () => 'QUEUED']) {
    const config = { isReady: isReady as () => Promise<boolean> }
    t.equal(await createSubject(t, {}, config).guarded.isReady(), false)
  }
  t.equal(await createSubject(t, { find: never }, { isReady: async () => true }).guarded.isReady(), true)
})

t.test('the guarded store exposes the change tracking of the store', async (t) => {
  const track = t.captureFn(() => ({ attempted: Promise.resolve(), isCurrent: () => true, close() {} }))
  const { guarded } = createSubject(t, { track })
  const options = { maxStaleMs: 1, onChange() {}, onRefused() {} }
  guarded.track?.(options)
  t.strictSame(track.args(), [[options]])
})

t.test('the downtime that the store measures is passed on', async (t) => {
  const downtimeOf = t.captureFn((): [] => [])
  const { guarded } = createSubject(t, { find: reject('no') }, { downtimeOf })
  await t.rejects(guarded.find(ID), { code: UNAVAILABLE })
  t.strictSame(guarded.downtimeOf(TAG, 7), [])
  t.strictSame(downtimeOf.args(), [[TAG, 7]])
})

t.test('without downtime from the store, failed and rejected calls count as downtime', async (t) => {
  let now = 1_000
  t.intercept(Date, 'now', { value: () => now })
  let isAway = true
  const find = async () => (isAway ? Promise.reject(new Error('no')) : null)
  const clock = freezeMonotonicClock(t)
  const breaker = { failures: 1, probeAfterMs: 1_000, maxInFlight: 10 }
  const { guarded } = createSubject(t, { find }, { breaker, idleMs: 10_000 })
  t.strictSame(guarded.downtimeOf(TAG, now), [])
  await t.rejects(guarded.find(ID), { code: UNAVAILABLE })
  now = 1_500
  await t.rejects(guarded.replace(ID, RECORD, RECORD), OPEN)
  now = 2_000
  clock.now += 1_000
  isAway = false
  t.equal(await guarded.find(ID), null)
  t.strictSame(
    guarded.downtimeOf(TAG, 2_500),
    [{ from: 1_000, to: 1_500 }],
    'the downtime lasts until the last failed call'
  )
})

t.test('downtime ends with the next written record, and not with the end of a session', async (t) => {
  let now = 1_000
  t.intercept(Date, 'now', { value: () => now })
  const endAll = async () => {
    now += 100
    throw new Error('no')
  }
  const writes: Record<string, { reply: unknown; isOver: boolean }> = {
    replace: { reply: true, isOver: true },
    create: { reply: 'created', isOver: true },
    'replace that finds another record': { reply: false, isOver: false },
    'create that is full': { reply: 'full', isOver: false },
    end: { reply: null, isOver: false }
  }
  for (const [title, { reply, isOver }] of Object.entries(writes)) {
    const name = title.split(' ', 1)[0] ?? ''
    const { guarded } = createSubject(t, { endAll, [name]: async () => reply }, { idleMs: 60_000 })
    now = 1_000
    await t.rejects(guarded.endAll(TAG, 'revoked', null), { code: UNAVAILABLE })
    now = 2_000
    await CALLS[name]?.(guarded)
    now = 3_000
    await t.rejects(guarded.endAll(TAG, 'revoked', null), { code: UNAVAILABLE })
    const [first, second] = [
      { from: 1_000, to: 1_100 },
      { from: 3_000, to: 3_100 }
    ]
    const expected = isOver ? [first, second] : [{ from: first.from, to: second.to }]
    t.strictSame(guarded.downtimeOf(TAG, now), expected, title)
  }
})

t.test('an overflow of abandoned sessions is logged', async (t) => {
  const { guarded, lines } = createSubject(t, { end: () => new Promise(() => {}) })
  for (let i = 0; i <= 50_000; i++)
    guarded.endLater(`${TAG}${String(i).padStart(22, '0')}`, 'revoked', Date.now() + 60_000)
  t.match(lines, ['error Too many sessions wait to be ended: some of the sessions stay until they expire'])
})
