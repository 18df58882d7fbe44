import t, { type Test } from 'tap'
import { LocalDowntime } from '../../lib/store/local-downtime.js'

const HOUR_MS = 3_600_000
const IDLE_MS = 10_000

function createSubject(t: Test) {
  const clock = { now: 1_000_000 }
  t.intercept(Date, 'now', { value: () => clock.now })
  const downtime = new LocalDowntime(IDLE_MS)
  return {
    clock,
    fail: (kind: 'read' | 'write' | 'end', startedAt = clock.now) => downtime.onFailure(kind, startedAt),
    read: () => downtime.onSuccess('read', false),
    end: () => downtime.onSuccess('end', false),
    write: () => downtime.onSuccess('write', true),
    loseRace: () => downtime.onSuccess('write', false),
    /** Start and end of each period, in one list. */
    periods: () => downtime.periods.flatMap(({ from, to }) => [from, to])
  }
}

t.test('a store that never fails has no downtime', async (t) => {
  const { read, write, end, periods } = createSubject(t)
  for (const succeed of [read, write, end]) succeed()
  t.strictSame(periods(), [])
})

t.test('a period lasts from the start of the first failed call to the end of the last failed call', async (t) => {
  const { clock, fail, read, end, loseRace, write, periods } = createSubject(t)
  const from = clock.now
  clock.now += 500
  fail('write', from)
  clock.now += 500
  fail('write', clock.now - 100)
  t.strictSame(periods(), [from, from + 1_000])
  clock.now += IDLE_MS / 2
  for (const succeed of [read, end, loseRace]) succeed()
  t.strictSame(periods(), [from, from + 1_000], 'time without a failed call is no downtime')
  fail('write')
  t.strictSame(periods(), [from, clock.now], 'a successful read or end does not prove that the store can be written')
  write()
  const again = clock.now + 1_000
  clock.now = again
  fail('write')
  clock.now += 10
  fail('write')
  t.strictSame(periods(), [from, again - 1_000, again, again + 10], 'a write separates two periods')
})

t.test('one failed write does not keep idle sessions alive', async (t) => {
  const { clock, fail, periods } = createSubject(t)
  const from = clock.now
  fail('write', from - 500)
  clock.now += HOUR_MS
  t.strictSame(periods(), [from - 500, from])
  fail('write')
  clock.now += 10
  fail('write')
  t.strictSame(
    periods().slice(2),
    [from + HOUR_MS, from + HOUR_MS + 10],
    'time without requests of active users is no downtime'
  )
})

t.test('a successful read ends a downtime in which only reads have failed', async (t) => {
  const { clock, fail, read, end, periods } = createSubject(t)
  const from = clock.now
  const failTwice = (kind: 'read' | 'end') => {
    fail(kind)
    clock.now += 10
    fail(kind)
    clock.now += 1_000
  }
  failTwice('read')
  end()
  failTwice('read')
  t.strictSame(periods(), [from, from + 1_020])
  read()
  const again = clock.now
  failTwice('end')
  read()
  failTwice('read')
  t.strictSame(periods(), [from, from + 1_020, again, again + 1_020], 'a failed end counts as a failed write')
})

t.test('failed writes of an earlier period do not count for a later period', async (t) => {
  const { clock, fail, read, write, periods } = createSubject(t)
  const from = clock.now
  fail('write', from - 10)
  write()
  clock.now += 10
  fail('read', from + 5)
  read()
  clock.now += 10
  fail('read', from + 15)
  t.strictSame(periods(), [from - 10, from, from + 5, from + 10, from + 15, from + 20])
})

t.test('overlapping periods are merged, and no period is negative', async (t) => {
  const { clock, fail, write, periods } = createSubject(t)
  const from = clock.now
  fail('write', from - 10)
  write()
  clock.now += 10
  fail('write', from - 5)
  t.strictSame(periods(), [from - 10, from + 10])
  write()
  clock.now -= HOUR_MS
  fail('write')
  t.ok(
    periods().every((at, i, all) => i === 0 || at >= (all[i - 1] ?? 0)),
    'periods are in order after the clock was set back'
  )
})

t.test('at most 64 periods are stored: the shortest and periods older than 30 days are dropped', async (t) => {
  const { clock, fail, write, periods } = createSubject(t)
  const outage = (ms: number) => {
    clock.now += ms
    fail('write', clock.now - ms)
    write()
    clock.now += 1_000
  }
  const start = clock.now
  outage(HOUR_MS)
  for (let i = 0; i < 200; i++) outage(10 + i)
  t.equal(periods().length, 128)
  t.strictSame(periods().slice(0, 2), [start, start + HOUR_MS], 'the long outage is still stored')
  t.equal(periods().at(-1), clock.now - 1_000)
  const last = clock.now
  clock.now += 31 * 24 * HOUR_MS
  outage(10)
  t.equal(periods().length, 2)
  t.ok((periods()[0] ?? 0) > last)
})
