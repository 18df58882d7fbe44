import type { Session } from './session.js'
import { splitSessionId } from './session-id.js'

/** A period in epoch milliseconds in which the store could not write. */
interface Downtime {
  from: number
  to: number
}

/** What {@link createLifetimes} is made of. */
export interface LifetimeConfig {
  /** Of new sessions: an open session keeps the lifetime that it was opened with. */
  ttlSeconds: number
  /** Of all sessions, whatever they were opened with. Null: no idle timeout. */
  idleTimeoutSeconds: number | null
  /**
   * When the sessions of the user with this tag could not be written, the oldest period first; null when this process
   * does not know.
   */
  downtimeOf(tag: string, now: number): readonly Downtime[] | null
}

/** `'not_known'`: it would have expired by its idle timeout, if there was no downtime, and this process does not know. */
export type LifeState = 'live' | 'expired' | 'not_known'

/** What the rules depend on. */
type Times = Pick<Session, 'id' | 'createdAt' | 'lastSeenAt' | 'expiresAt'>

/** The rules of a session's lifetime. Times are epoch milliseconds. */
export interface Lifetimes {
  readonly ttlSeconds: number
  /** Whether the session has not expired, at `now`. */
  stateOf(session: Times, now: number): LifeState
  /** When the session expires without further activity and further downtime; null without an idle timeout. */
  idleExpiryOf(session: Times, now: number): number | null
  /** The `lastSeenAt` to write for activity at `now`, or null when what is written is recent enough. */
  activityOf(session: Times, now: number): number | null
  /** Milliseconds between two activities that are written. */
  readonly activityIntervalMs: number
}

/**
 * The rules: a session expires `ttlSeconds` after its login (its absolute expiry), or when it was not in use for
 * `idleTimeoutSeconds` (its idle expiry). Time in which the store could not write activity does not count for the idle
 * expiry: otherwise an outage would end the session of every active user.
 *
 * A store that fails again and again gives a user little time to be seen in: uptime between two periods of downtime does
 * not count either when it is shorter than a third of the idle timeout and than the two periods together. So a user who
 * sends a request in every third of the idle timeout stays logged in, and short failures do not keep idle sessions open.
 *
 * At any moment the downtime makes one number of this, the idle cutoff: a session whose last activity is not later has
 * expired.
 */
export function createLifetimes(config: LifetimeConfig): Lifetimes {
  const { ttlSeconds, idleTimeoutSeconds, downtimeOf } = config
  const idleMs = idleTimeoutSeconds === null ? Number.POSITIVE_INFINITY : idleTimeoutSeconds * 1_000
  const activityIntervalMs = idleMs / 10

  return {
    ttlSeconds,
    activityIntervalMs,

    stateOf({ id, lastSeenAt, expiresAt }, now) {
      if (expiresAt <= now) return 'expired'
      // Downtime moves the cutoff back only.
      if (lastSeenAt > now - idleMs) return 'live'
      const downtime = downtimeOf(splitSessionId(id)[0], now)
      if (downtime === null) return 'not_known'
      return lastSeenAt > idleCutoff(idleMs, joinPeriods(downtime, idleMs), now) ? 'live' : 'expired'
    },

    idleExpiryOf({ id, lastSeenAt, expiresAt }, now) {
      if (idleTimeoutSeconds === null) return null
      const downtime = downtimeOf(splitSessionId(id)[0], now) ?? []
      return Math.min(expiresAt, idleExpiry(lastSeenAt + idleMs, joinPeriods(downtime, idleMs), lastSeenAt))
    },

    activityOf({ lastSeenAt }, now) {
      if (idleTimeoutSeconds === null) return null
      // Below zero when the clock of another instance is ahead: a little, which passes; or by a lot, when the session
      // still has to be written, so that the store knows it is in use.
      const unseenMs = now - lastSeenAt
      const isRecent = unseenMs < activityIntervalMs && unseenMs > -idleMs / 2
      // Never back: the session would expire for the instances whose clocks are right.
      return isRecent ? null : Math.max(lastSeenAt, now)
    }
  }
}

/** Joins periods with so little time between them that an active user may not have been seen in it. */
function joinPeriods(downtime: readonly Downtime[], idleMs: number): readonly Downtime[] {
  const joined: Downtime[] = []
  let lastMs = 0
  for (const { from, to } of downtime) {
    const last = joined.at(-1)
    const upMs = from - (last?.to ?? Number.NEGATIVE_INFINITY)
    if (last !== undefined && upMs < Math.min(idleMs / 3, lastMs + to - from)) last.to = to
    else joined.push({ from, to })
    lastMs = to - from
  }
  return joined
}

/** `idleMs` before `now`, of time that is no downtime. */
function idleCutoff(idleMs: number, downtime: readonly Downtime[], now: number): number {
  let at = now
  let leftMs = idleMs
  for (let index = downtime.length - 1; index >= 0; index--) {
    const { from, to } = downtime[index] as Downtime
    const upMs = Math.max(0, at - to)
    if (upMs >= leftMs) break
    leftMs -= upMs
    at = Math.min(at, from)
  }
  return at - leftMs
}

/** `expiry`, later by all downtime after `lastSeenAt`. */
function idleExpiry(expiry: number, downtime: readonly Downtime[], lastSeenAt: number): number {
  let at = expiry
  for (const { from, to } of downtime) {
    if (from >= at) break
    at += Math.max(0, to - Math.max(from, lastSeenAt))
  }
  return at
}
