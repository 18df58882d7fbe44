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

/** Stops the clock and the timers; the test moves the time forward. */
function stopTime(t: Test) {
  const timers = new Set<Timer>()
  let now = 1_800_000_000_000
  t.intercept(Date, 'now', { value: () => now })
  t.intercept(performance, 'now', { value: () => now })
  t.intercept(globalThis, 'clearTimeout', { value: (timer: Timer) => timers.delete(timer) })
  t.intercept(globalThis, 'setTimeout', {
    value: (callback: () => void, delayMs: number) => {
      // Node would fire the timer at once.
      if (delayMs > LONGEST_DELAY_MS) throw new RangeError(`${delayMs} ms are too long for a timer`)
      const timer: Timer = { callback, dueAt: now + Math.max(1, delayMs), unref: () => timer }
      timers.add(timer)
      return timer
    }
  })

  return {
    timers,
    /** Moves the clock as in a busy process: no timer fires. */
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

/** Records the keys of all maps and sets that are made later, and counts lookups. */
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

t.test('memory is freed when entries expire, whatever has happened to the sessions', async (t) => {
  const time = stopTime(t)
  const { keys } = watchCollections(t)
  const store = createMemoryStore()
  const [ada, bob, eve] = [createUser(store), createUser(store), createUser(store)]
  const sessions = [...(await ada.openMany(6)), ...(await bob.openMany(2)), await eve.open()]
  const early = ada.newId()
  const isStored = (key: unknown) => [ada.tag, bob.tag, eve.tag, early, ...idsOf(sessions)].some((name) => name === key)

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
  // A user's entry also holds the ids of the open sessions; a user without open sessions has no entry.
  t.equal(keys().filter(isStored).length, sessions.length + 1 + 2 + 4)

  time.forward(EARLY_END_MS)
  t.equal(await store.find(early), null)
  t.equal(time.timers.size, sessions.length + 2)
  time.forward(HOUR_MS)
  t.equal(time.timers.size, 0)
  t.strictSame(
    keys().filter((key) => isStored(key) || key === last.id),
    []
  )
})

t.test('no operation reads the ended sessions of the user', async (t) => {
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

t.test('a record and a reason are found until the absolute expiry', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { open, newId } = createUser(store)
  const [live, ended] = [await open({ lifeMs: 1_000 }), await open({ lifeMs: 30_000 })]
  await store.end(ended.id, 'revoked')
  const limit = { max: 1, onFull: 'reject' as const }
  time.forward(999)
  t.strictSame(await store.find(live.id), { record: live.record })
  t.equal(await store.create(newId(), recordOf('x'), optionsOf({ limit })), 'full')
  time.forward(1)
  t.equal(await store.find(live.id), null)
  t.equal(await store.create(newId(), recordOf('x'), optionsOf({ limit })), 'created')
  time.forward(28_999)
  t.strictSame(await store.find(ended.id), { ended: 'revoked' })
  time.forward(1)
  t.equal(await store.find(ended.id), null)
})

t.test('the reason of an unknown session is stored for ten minutes', async (t) => {
  t.equal(EARLY_END_MS, 10 * 60_000)
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

t.test('endAll() is remembered for an hour after the last call, with one timer', async (t) => {
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

t.test('setting the clock does not change which logins came before endAll()', async (t) => {
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

t.test('create() at the very moment of notAfter is in time', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { open, newId } = createUser(store)
  await open({ notAfter: Date.now() })
  const options = optionsOf({ notAfter: Date.now() })
  time.forward(1)
  t.equal(await store.create(newId(), recordOf('x'), options), 'too_late')
})

t.test('an entry expires by the clock, even before a busy process fires the timer', async (t) => {
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
  t.equal(time.timers.size, 3, 'the late timer of an expired entry has been removed')
})

t.test('a session can live longer than the longest delay of a timer', async (t) => {
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

t.test('a timer that fires after the clock was set back removes nothing too early', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { id, record } = await createUser(store).open()
  time.freeze(-HOUR_MS)
  time.forward(2 * HOUR_MS - 1)
  t.strictSame(await store.find(id), { record })
  time.forward(1)
  t.equal(time.timers.size, 0)
})

t.test('no timer of the store keeps the process alive', async (t) => {
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

t.test('a closed store has no sessions and no timers', async (t) => {
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
