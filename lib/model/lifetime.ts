import type { Session } from './session.js'
import { sessionTag } from './session-id.js'

/** A period in epoch milliseconds without writes to the store. */
interface Downtime {
  from: number
  to: number
}

/** Configuration of {@link createLifetimes}. */
export interface LifetimeConfig {
  /** Lifetime of new sessions; an open session keeps the lifetime set at the login. */
  ttlSeconds: number
  /** Idle timeout of all sessions, open sessions included. Null: no idle timeout. */
  idleTimeoutSeconds: number | null
  /**
   * Downtime of the store for the user with this tag, the oldest period first; null while not known to this process.
   */
  downtimeOf(tag: string, now: number): readonly Downtime[] | null
}

/** `'not_known'`: the idle timeout has passed, but the downtime of the store is not known to this process. */
export type LifeState = 'live' | 'expired' | 'not_known'

/** The fields of a session with an influence on the lifetime. */
type Times = Pick<Session, 'id' | 'createdAt' | 'lastSeenAt' | 'expiresAt'>

/** The rules of a session's lifetime. Times are epoch milliseconds. */
export interface Lifetimes {
  readonly ttlSeconds: number
  /** Whether the session is live at `now`. */
  stateOf(session: Times, now: number): LifeState
  /** Idle expiry of the session without further activity or downtime; null without an idle timeout. */
  idleExpiryOf(session: Times, now: number): number | null
  /** The `lastSeenAt` to write for activity at `now`, or null while the written value is recent enough. */
  activityOf(session: Times, now: number): number | null
  /** Minimum milliseconds between two writes of activity. */
  readonly activityIntervalMs: number
}

/**
 * A session expires `ttlSeconds` after the login (absolute expiry), or after `idleTimeoutSeconds` without activity
 * (idle expiry). Downtime of the store does not count toward the idle expiry: otherwise an outage would end the session
 * of every active user.
 *
 * A store with repeated failures leaves little time to record activity. Uptime between two periods of downtime does not
 * count either if the uptime is shorter than a third of the idle timeout and shorter than both periods together. A user
 * with a request in every third of the idle timeout stays logged in, and short failures do not keep idle sessions open.
 *
 * At any moment the downtime yields one number, the idle cutoff: a session without activity after the cutoff has
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
      // Downtime only moves the cutoff back.
      if (lastSeenAt > now - idleMs) return 'live'
      const downtime = downtimeOf(sessionTag(id), now)
      if (downtime === null) return 'not_known'
      return lastSeenAt > idleCutoff(idleMs, joinPeriods(downtime, idleMs), now) ? 'live' : 'expired'
    },

    idleExpiryOf({ id, lastSeenAt, expiresAt }, now) {
      if (idleTimeoutSeconds === null) return null
      const downtime = downtimeOf(sessionTag(id), now) ?? []
      return Math.min(expiresAt, idleExpiry(lastSeenAt + idleMs, joinPeriods(downtime, idleMs), lastSeenAt))
    },

    activityOf({ lastSeenAt }, now) {
      if (idleTimeoutSeconds === null) return null
      // Negative when the clock of another instance is ahead. A large difference still needs a write: the store
      // evicts the session with the oldest write first.
      const inactiveMs = now - lastSeenAt
      const isRecent = inactiveMs < activityIntervalMs && inactiveMs > -idleMs / 2
      // Never earlier: the session would expire on instances with a correct clock.
      return isRecent ? null : Math.max(lastSeenAt, now)
    }
  }
}

/** Joins periods of downtime with too little uptime between the periods to record the activity of every active user. */
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

/** The moment with `idleMs` of uptime between the moment and `now`. */
function idleCutoff(idleMs: number, downtime: readonly Downtime[], now: number): number {
  let at = now
  let leftMs = idleMs
  for (const { from, to } of downtime.toReversed()) {
    const upMs = Math.max(0, at - to)
    if (upMs >= leftMs) break
    leftMs -= upMs
    at = Math.min(at, from)
  }
  return at - leftMs
}

/** Extends `expiry` by all downtime after `lastSeenAt`. */
function idleExpiry(expiry: number, downtime: readonly Downtime[], lastSeenAt: number): number {
  let at = expiry
  for (const { from, to } of downtime) {
    if (from >= at) break
    at += Math.max(0, to - Math.max(from, lastSeenAt))
  }
  return at
}
