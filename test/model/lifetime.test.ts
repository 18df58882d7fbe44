import t from 'tap'
import { createLifetimes } from '../../lib/model/lifetime.js'
import { createSessionId } from '../../lib/model/session-id.js'
import { createFaults } from '../fixtures/faults.js'

interface Period {
  from: number
  to: number
}

const IDLE_SECONDS = 10
const IDLE = IDLE_SECONDS * 1_000
const ID = createSessionId('ada')

function lifetimesWith(downtime: readonly Period[] | null) {
  return createLifetimes({ ttlSeconds: 3_600, idleTimeoutSeconds: IDLE_SECONDS, downtimeOf: () => downtime })
}

function session(lastSeenAt: number, expiresAt = 10 ** 9) {
  return { id: ID, createdAt: 0, lastSeenAt, expiresAt }
}

/** Milliseconds of uptime between two times, counted singly. */
function uptime(from: number, to: number, downtime: readonly Period[], idleMs: number): number {
  const isDown = (at: number) =>
    downtime.some((period, index) => {
      const next = downtime[index + 1] ?? { from: Number.POSITIVE_INFINITY, to: Number.POSITIVE_INFINITY }
      const upMs = next.from - period.to
      const isJoined = upMs < idleMs / 3 && upMs < period.to - period.from + next.to - next.from
      return at >= period.from && at < (isJoined ? next.from : period.to)
    })
  let count = 0
  for (let at = from; at < to; at++) if (!isDown(at)) count++
  return count
}

t.test('idle time counts only while the store is up, as in a naive simulation', async (t) => {
  const random = (below: number) => Math.floor(Math.random() * below)
  const faults = createFaults()
  for (let round = 0; round < 2_000; round++) {
    // Short periods, because the simulation counts single milliseconds.
    const idleMs = 1_000
    const now = 6_000 + random(1_000)
    const downtime: Period[] = []
    for (let at = random(1_500); at < now; ) {
      const period = { from: at, to: Math.min(now, at + random(1_500)) }
      downtime.push(period)
      at = period.to + random(1_500)
    }
    const lifetimes = createLifetimes({ ttlSeconds: 3_600, idleTimeoutSeconds: 1, downtimeOf: () => downtime })
    const ends = downtime.flatMap(({ from, to }) => [from, to, to - idleMs, now - idleMs])
    const lastSeenAt = Math.max(
      0,
      Math.min(now, random(2) ? random(now) : (ends[random(ends.length)] ?? 0) + random(3) - 1)
    )
    const isExpired = uptime(lastSeenAt, now, downtime, idleMs) >= idleMs
    const expiry = lifetimes.idleExpiryOf(session(lastSeenAt), now) ?? Number.NaN
    // The expiry of the simulation: the idle time is used up.
    const uptimeMs = isExpired ? undefined : uptime(lastSeenAt, expiry, downtime, idleMs)
    const seen = { state: lifetimes.stateOf(session(lastSeenAt), now), isExpiryPast: expiry <= now, uptimeMs }
    const expected = {
      state: isExpired ? 'expired' : 'live',
      isExpiryPast: isExpired,
      uptimeMs: isExpired ? undefined : idleMs
    }
    faults.compare(JSON.stringify({ now, lastSeenAt, downtime }), seen, expected)
  }
  faults.assertNone(t)
})

t.test('short uptime between long downtime does not count, and short downtime does not hide uptime', async (t) => {
  const every = (upMs: number, downMs: number) =>
    Array.from({ length: 50 }, (_, i) => ({ from: i * (upMs + downMs), to: i * (upMs + downMs) + downMs }))
  const stateOf = (downtime: Period[]) => lifetimesWith(downtime).stateOf(session(0), downtime.at(-1)?.to ?? 0)
  t.equal(stateOf(every(IDLE / 10, IDLE / 3)), 'live', 'each period of uptime may have missed the user')
  t.equal(stateOf(every(IDLE / 3, IDLE)), 'expired', 'a long period of uptime would have recorded activity')
  t.equal(stateOf(every(IDLE / 4, IDLE / 100)), 'expired', 'short downtime between long uptime is ignored')
  t.equal(
    stateOf([
      { from: 0, to: 9 * IDLE },
      ...every(IDLE / 4, 1).map(({ from, to }) => ({ from: from + 9.2 * IDLE, to: to + 9.2 * IDLE }))
    ]),
    'expired',
    'a long outage is not joined with later short outages'
  )
})

t.test('without downtime a session expires the idle timeout after the last activity', async (t) => {
  const lifetimes = lifetimesWith([])
  t.equal(lifetimes.stateOf(session(0), IDLE - 1), 'live')
  t.equal(lifetimes.stateOf(session(0), IDLE), 'expired')
  t.equal(lifetimes.idleExpiryOf(session(5), IDLE), IDLE + 5)
})

t.test('downtime is read only where the answer matters, and unknown downtime expires no session', async (t) => {
  let reads = 0
  const lifetimes = createLifetimes({
    ttlSeconds: 3_600,
    idleTimeoutSeconds: IDLE_SECONDS,
    downtimeOf(tag) {
      t.equal(tag, ID.slice(0, 16))
      reads++
      return null
    }
  })
  t.equal(lifetimes.stateOf(session(0), IDLE - 1), 'live')
  t.equal(reads, 0)
  t.equal(lifetimes.stateOf(session(0), IDLE), 'not_known')
  t.equal(lifetimes.stateOf(session(0, IDLE), IDLE), 'expired', 'the absolute expiry does not depend on downtime')
})

t.test('without an idle timeout a session has only the absolute expiry', async (t) => {
  const lifetimes = createLifetimes({ ttlSeconds: 60, idleTimeoutSeconds: null, downtimeOf: () => null })
  t.equal(lifetimes.stateOf(session(0, 60_000), 59_999), 'live')
  t.equal(lifetimes.stateOf(session(0, 60_000), 60_000), 'expired')
  t.equal(lifetimes.idleExpiryOf(session(0, 60_000), 0), null)
  const unknowing = createLifetimes({ ttlSeconds: 60, idleTimeoutSeconds: 1, downtimeOf: () => null })
  t.equal(unknowing.idleExpiryOf(session(5), 10), 1_005, 'with unknown downtime the idle expiry is an estimate')
  t.equal(lifetimes.activityOf(session(0, 60_000), 59_999), null)
})

t.test('the idle expiry is never later than the absolute expiry', async (t) => {
  t.equal(lifetimesWith([{ from: 0, to: 100 * IDLE }]).idleExpiryOf(session(0, 2 * IDLE), IDLE), 2 * IDLE)
})

t.test('activity is written at most once per tenth of the idle timeout', async (t) => {
  const lifetimes = lifetimesWith([])
  t.equal(lifetimes.activityOf(session(0), IDLE / 10 - 1), null)
  t.equal(lifetimes.activityOf(session(0), IDLE / 10), IDLE / 10)
})

t.test('activity never moves back when the clocks of two instances differ', async (t) => {
  const lifetimes = lifetimesWith([])
  t.equal(lifetimes.activityOf(session(1_000), 0), null, 'a clock that is slightly ahead is ignored')
  t.equal(
    lifetimes.activityOf(session(60_000), 0),
    60_000,
    'a time far ahead is written, so that the store sees activity'
  )
})
