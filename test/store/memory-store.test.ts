import t, { type Test } from 'tap'
import { createMemoryStore } from '../../lib/store/memory-store.js'
import { EARLY_END_MS } from '../../lib/store/session-store.js'
import { createUser, findAll, HOUR_MS, idsOf, optionsOf, recordOf } from '../fixtures/store-user.js'

const LONGEST_DELAY_MS = 2 ** 31 - 1

interface Timer {
  callback(): void
  dueAt: number
  unref(): Timer
}

/** A clock that stands still until it is moved forward, and the timers that go by it. */
function stopTime(t: Test) {
  const timers = new Set<Timer>()
  let now = 1_800_000_000_000
  t.intercept(Date, 'now', { value: () => now })
  t.intercept(performance, 'now', { value: () => now })
  t.intercept(globalThis, 'clearTimeout', { value: (timer: Timer) => timers.delete(timer) })
  t.intercept(globalThis, 'setTimeout', {
    value: (callback: () => void, delayMs: number) => {
      // Node would fire at once.
      if (delayMs > LONGEST_DELAY_MS) throw new RangeError(`${delayMs} ms are too long for a timer`)
      const timer: Timer = { callback, dueAt: now + Math.max(1, delayMs), unref: () => timer }
      timers.add(timer)
      return timer
    }
  })

  return {
    timers,
    /** The clock of a busy process: it goes on, and no timer fires. */
    freeze(ms: number): void {
      now += ms
    },
    forward(ms: number): void {
      const end = now + ms
      for (;;) {
        const [next] = [...timers].filter(({ dueAt }) => dueAt <= end).sort((a, b) => a.dueAt - b.dueAt)
        if (next === undefined) break
        now = Math.max(now, next.dueAt)
        timers.delete(next)
        next.callback()
      }
      now = end
    }
  }
}

/** What all maps and sets have that are made from now on, and how often one of them was asked. */
function watchCollections(t: Test) {
  const collections: (Map<unknown, unknown> | Set<unknown>)[] = []
  let lookups = 0
  class WatchedMap<Key, Value> extends Map<Key, Value> {
    constructor(entries?: Iterable<readonly [Key, Value]> | null) {
      super(entries)
      collections.push(this)
    }
    override get(key: Key): Value | undefined {
      lookups++
      return super.get(key)
    }
  }
  class WatchedSet<Value> extends Set<Value> {
    constructor(values?: Iterable<Value> | null) {
      super(values)
      collections.push(this)
    }
  }
  t.intercept(globalThis, 'Map', { value: WatchedMap })
  t.intercept(globalThis, 'Set', { value: WatchedSet })
  return {
    keys: () => collections.flatMap((collection) => [...collection.keys()]),
    countLookups: async (work: () => Promise<unknown>) => {
      const before = lookups
      await work()
      return lookups - before
    }
  }
}

t.test('memory is given back when entries expire, whatever became of the sessions', async (t) => {
  const time = stopTime(t)
  const { keys } = watchCollections(t)
  const store = createMemoryStore()
  const [ada, bob, eve] = [createUser(store), createUser(store), createUser(store)]
  const sessions = [...(await ada.openMany(6)), ...(await bob.openMany(2)), await eve.open()]
  const early = ada.newId()
  const isKept = (key: unknown) => [ada.tag, bob.tag, eve.tag, early, ...idsOf(sessions)].some((name) => name === key)

  const [replaced, ended, evicted] = sessions
  for (let i = 0; i < 100; i++) await store.replace(replaced?.id ?? '', replaced?.record ?? '', replaced?.record ?? '')
  await store.end(ended?.id ?? '', 'revoked')
  await store.end(early, 'revoked')
  await store.endAll(bob.tag, 'revoked', null)
  await store.end(idsOf(sessions).at(-1) ?? '', 'logged_out')
  const last = await ada.open({ limit: { max: 5, onFull: 'evict' } })
  t.strictSame(await store.find(evicted?.id ?? ''), { ended: 'replaced' })
  await findAll(store, [ada.newId(), createUser(store).newId()])
  await store.list(createUser(store).tag)
  t.equal(time.timers.size, sessions.length + 3, 'a timer for each entry, and for the user whose sessions were ended')
  // Ids of open sessions are with the user too; the user whose only session has ended is gone.
  t.equal(keys().filter(isKept).length, sessions.length + 1 + 2 + 4)

  time.forward(EARLY_END_MS)
  t.equal(await store.find(early), null)
  t.equal(time.timers.size, sessions.length + 2)
  time.forward(HOUR_MS)
  t.equal(time.timers.size, 0)
  t.strictSame(
    keys().filter((key) => isKept(key) || key === last.id),
    []
  )
})

t.test('no operation reads the sessions of the user that have ended', async (t) => {
  const { countLookups } = watchCollections(t)
  const store = createMemoryStore()
  t.teardown(() => store.close())
  const user = createUser(store)
  const limit = { max: 3, onFull: 'evict' as const }
  for (let login = 0; login < 500; login++) await user.open({ limit })
  const [first] = await user.list()
  const { id = '', record = '' } = first ?? {}
  const operations = {
    find: () => store.find(id),
    replace: () => store.replace(id, record, record),
    create: () => user.open({ limit }),
    list: () => store.list(user.tag),
    end: () => store.end(id, 'revoked'),
    endAll: () => store.endAll(user.tag, 'revoked', null)
  }
  for (const [name, operation] of Object.entries(operations)) t.ok((await countLookups(operation)) < 40, name)
})

t.test('a record is found until the absolute expiry, and so is the reason', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { open, newId } = createUser(store)
  const [kept, ended] = [await open({ lifeMs: 1_000 }), await open({ lifeMs: 30_000 })]
  await store.end(ended.id, 'revoked')
  const limit = { max: 1, onFull: 'reject' as const }
  time.forward(999)
  t.strictSame(await store.find(kept.id), { record: kept.record })
  t.equal(await store.create(newId(), recordOf('x'), optionsOf({ limit })), 'full')
  time.forward(1)
  t.equal(await store.find(kept.id), null)
  t.equal(await store.create(newId(), recordOf('x'), optionsOf({ limit })), 'created')
  time.forward(28_999)
  t.strictSame(await store.find(ended.id), { ended: 'revoked' })
  time.forward(1)
  t.equal(await store.find(ended.id), null)
})

t.test('the reason of a session that is not there is kept for ten minutes', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const id = createUser(store).newId()
  await store.end(id, 'revoked')
  time.forward(EARLY_END_MS - 1)
  await store.end(id, 'logged_out')
  t.equal(await store.create(id, recordOf('x'), optionsOf()), 'too_late')
  time.forward(1)
  t.equal(await store.create(id, recordOf('x'), optionsOf()), 'created')
})

t.test('endAll() is remembered for an hour after its last call, with one timer', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { tag, newId } = createUser(store)
  const login = () => store.create(newId(), recordOf('x'), optionsOf({ startedMsAgo: 3 * HOUR_MS }))
  for (let call = 0; call < 100; call++) {
    await store.endAll(tag, 'revoked', null)
    time.forward(HOUR_MS - 1)
    t.equal(time.timers.size, 1)
  }
  t.equal(await login(), 'revoked')
  time.forward(1)
  t.equal(time.timers.size, 0)
  t.equal(await login(), 'created')
})

t.test('a clock that is set does not change which logins came in before endAll()', async (t) => {
  const store = createMemoryStore()
  t.teardown(() => store.close())
  const { tag, newId } = createUser(store)
  let monotonicMs = 1_000
  t.intercept(performance, 'now', { value: () => monotonicMs })
  await store.endAll(tag, 'revoked', null)
  t.intercept(Date, 'now', { value: () => 1_000 })
  monotonicMs += 50
  const login = (startedMsAgo: number) =>
    store.create(newId(), recordOf('x'), optionsOf({ startedMsAgo, expiresAt: HOUR_MS }))
  t.equal(await login(51), 'revoked')
  t.equal(await login(50), 'created')
})

t.test('a call that arrives at notAfter is in time', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { open, newId } = createUser(store)
  await open({ notAfter: Date.now() })
  const options = optionsOf({ notAfter: Date.now() })
  time.forward(1)
  t.equal(await store.create(newId(), recordOf('x'), options), 'too_late')
})

t.test('the clock decides what has expired, also when a busy process has let no timer fire', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { tag, open, newId } = createUser(store)
  const [{ id, record }, other] = [await open(), await open()]
  await store.end(other.id, 'revoked')
  time.freeze(HOUR_MS)
  t.strictSame(await findAll(store, [id, other.id]), [null, null])
  t.strictSame(await store.list(tag), [])
  t.equal(await store.replace(id, record, recordOf('next')), false)
  t.equal(await store.create(newId(), recordOf('x'), optionsOf({ limit: { max: 1, onFull: 'reject' } })), 'created')
  t.equal(await store.end(id, 'revoked'), null)
  t.strictSame(await store.find(id), { ended: 'revoked' })
  t.equal(time.timers.size, 3, 'the late timer of an expired entry is not left behind')
})

t.test('a session may live longer than a timer can wait', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { id, record } = await createUser(store).open({ lifeMs: 3 * LONGEST_DELAY_MS })
  for (let i = 0; i < 3; i++) {
    t.equal(time.timers.size, 1)
    t.strictSame(await store.find(id), { record })
    time.forward(LONGEST_DELAY_MS)
  }
  t.equal(time.timers.size, 0)
  t.equal(await store.find(id), null)
})

t.test('a timer that fires although the clock was set back forgets nothing too early', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { id, record } = await createUser(store).open()
  time.freeze(-HOUR_MS)
  time.forward(2 * HOUR_MS - 1)
  t.strictSame(await store.find(id), { record })
  time.forward(1)
  t.equal(time.timers.size, 0)
})

t.test('no timer keeps the process running', async (t) => {
  const timers: NodeJS.Timeout[] = []
  const { setTimeout } = globalThis
  t.intercept(globalThis, 'setTimeout', {
    value: (callback: () => void, delayMs: number) => {
      const timer = setTimeout(callback, delayMs)
      timers.push(timer)
      return timer
    }
  })
  const store = createMemoryStore()
  const { tag, open, newId } = createUser(store)
  await open()
  await store.end(newId(), 'revoked')
  await store.endAll(tag, 'revoked', null)
  t.strictSame(
    timers.map((timer) => timer.hasRef()),
    [false, false, false]
  )
  store.close()
})

t.test('a closed store has forgotten everything and has no timers left', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { tag, open, openMany, newId } = createUser(store)
  await open({ lifeMs: 2 * LONGEST_DELAY_MS })
  time.forward(LONGEST_DELAY_MS)
  const [first, second] = await openMany(2)
  await createUser(store).openMany(2)
  await store.end(first?.id ?? '', 'revoked')
  await store.endAll(tag, 'revoked', second?.id ?? '')
  store.close()
  t.strictSame(await findAll(store, [first?.id ?? '', second?.id ?? '']), [null, null])
  t.strictSame(await store.list(tag), [])
  t.equal(time.timers.size, 0)
  t.equal(await store.create(newId(), recordOf('x'), optionsOf({ startedMsAgo: HOUR_MS })), 'created')
  store.close()
  t.equal(time.timers.size, 0)
})
