import t, { type Test } from 'tap'
import { createMemoryStore } from '../lib/index.js'
import { KEPT_AFTER_LIFE_MS } from '../lib/store/session-store.js'
import { createUser, findAll, HOUR_MS, recordOf } from './fixtures/store-user.js'

const LONGEST_DELAY_MS = 2 ** 31 - 1

interface Timer {
  callback(): void
  dueAt: number
  unref(): Timer
}

/** A clock that stands still until it is put forward, and the timers that go by it. */
function stopTime(t: Test) {
  const timers = new Set<Timer>()
  let now = 1_800_000_000_000
  t.intercept(Date, 'now', { value: () => now })
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
    /** As a process does that is busy: the clock goes on, no timer fires. */
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

/** All keys in all maps that are made from now on. */
function watchMaps(t: Test): () => unknown[] {
  const maps: Map<unknown, unknown>[] = []
  class WatchedMap<Key, Value> extends Map<Key, Value> {
    constructor(entries?: Iterable<readonly [Key, Value]> | null) {
      super(entries)
      maps.push(this)
    }
  }
  t.intercept(globalThis, 'Map', { value: WatchedMap })
  return () => maps.flatMap((map) => [...map.keys()])
}

t.test('memory is given back when the records are past their time, whatever became of the sessions', async (t) => {
  const time = stopTime(t)
  const keys = watchMaps(t)
  const store = createMemoryStore()
  const [ada, bob] = [createUser(store), createUser(store)]
  const sessions = [...(await ada.openMany(5)), ...(await bob.openMany(2))]
  const isKept = (key: unknown) => [ada.tag, bob.tag, ...sessions.map(({ id }) => id)].includes(key as string)

  const [replaced, ended] = sessions
  for (let i = 0; i < 100; i++) {
    const { id, record } = replaced ?? { id: '', record: '' }
    await store.replace(id, record, record, HOUR_MS)
  }
  await store.end(ended?.id as string, 'revoked')
  await store.endAll(bob.tag, 'revoked', null)
  await findAll(store, [ada.newId(), createUser(store).newId()])
  t.equal(time.timers.size, sessions.length, 'one timer for each')
  t.equal(keys().filter(isKept).length, sessions.length + 2)

  time.forward(HOUR_MS)
  t.strictSame(await findAll(store, [ended?.id as string]), [null])
  t.equal(time.timers.size, 4, 'what has ended is gone')
  time.forward(KEPT_AFTER_LIFE_MS)
  t.equal(time.timers.size, 0)
  t.strictSame(keys().filter(isKept), [])
})

t.test('a session lives for its life, its record is found a minute longer, a reason until the end', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { open, newId } = createUser(store)
  const [kept, ended] = [await open({ lifeMs: 1_000 }), await open({ endsInMs: 30_000 })]
  await store.end(ended.id, 'revoked')
  const isLive = async () => !(await store.create(newId(), recordOf('x'), 1, { max: 1, evictionReason: null }))
  time.forward(999)
  t.equal(await isLive(), true)
  time.forward(1)
  t.equal(await isLive(), false)
  time.forward(28_999)
  t.equal(await store.find(ended.id), 'revoked')
  time.forward(1)
  t.equal(await store.find(ended.id), null)
  time.forward(30_999)
  t.equal(await store.find(kept.id), kept.record)
  time.forward(1)
  t.equal(await store.find(kept.id), null)
})

t.test('the clock says what is over, also when a busy process has let no timer fire', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { tag, open, newId } = createUser(store)
  const [{ id, record }, other] = [await open(), await open()]
  await store.end(other.id, 'revoked')
  time.freeze(HOUR_MS + KEPT_AFTER_LIFE_MS)
  t.strictSame(await findAll(store, [id, other.id]), [null, null])
  t.equal(await store.replace(id, record, recordOf('next'), HOUR_MS), false)
  await store.end(id, 'revoked')
  await store.endAll(tag, 'revoked', null)
  t.equal(await store.find(id), null)
  t.equal(await store.create(newId(), recordOf('x'), HOUR_MS, { max: 1, evictionReason: null }), true)
})

t.test('a session may live longer than a timer can wait', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const lifeMs = 3 * LONGEST_DELAY_MS
  const { id, record } = await createUser(store).open({ lifeMs, endsInMs: lifeMs })
  for (let i = 0; i < 3; i++) {
    t.equal(time.timers.size, 1)
    t.equal(await store.find(id), record)
    time.forward(LONGEST_DELAY_MS)
  }
  time.forward(KEPT_AFTER_LIFE_MS)
  t.equal(time.timers.size, 0)
  t.equal(await store.find(id), null)
})

t.test('a timer that fires although the clock was set back forgets nothing too early', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { id, record } = await createUser(store).open()
  time.freeze(-HOUR_MS)
  time.forward(2 * HOUR_MS + KEPT_AFTER_LIFE_MS - 1)
  t.equal(await store.find(id), record)
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
  const { id } = await createUser(store).open()
  await store.end(id, 'revoked')
  t.strictSame(
    timers.map((timer) => timer.hasRef()),
    [false, false]
  )
  store.close()
})

t.test('a closed store has forgotten everything and has no timers left', async (t) => {
  const time = stopTime(t)
  const store = createMemoryStore()
  const { tag, open, openMany } = createUser(store)
  await open({ lifeMs: 2 * LONGEST_DELAY_MS, endsInMs: 2 * LONGEST_DELAY_MS })
  time.forward(LONGEST_DELAY_MS)
  const [first, second] = await openMany(2)
  await createUser(store).openMany(2)
  await store.end(first?.id as string, 'revoked')
  store.close()
  t.strictSame(await findAll(store, [first?.id as string, second?.id as string]), [null, null])
  t.strictSame(await store.list(tag), [])
  t.equal(time.timers.size, 0)
  store.close()
})
