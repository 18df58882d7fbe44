import type { CachedReader } from '../cache/session-cache.js'
import { SessionEndedError, SessionNotFreshError } from '../errors.js'
import { LONGEST_DELAY_MS } from '../internal/deadline.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Lifetimes } from '../model/lifetime.js'
import { type OpenRecord, unusableError } from '../model/open-record.js'
import { sessionTag } from '../model/session-id.js'
import { type DecodedRecord, encodeActivity } from '../model/session-record.js'
import type { GuardedStore } from '../store/guarded-store.js'
import { type AccessTokenClaims, type AccessTokens, expOf } from '../token/access-token.js'
import type { ResolvedRouteSettings } from './route-settings.js'

/** Finds the live session of a token, for every request to a guarded route. */
export interface Authentication {
  /**
   * The cached session of the token; the object is shared with other requests and must not be changed.
   * @throws {SessionNotFreshError} the login is older than the route allows
   */
  findCached(token: string, settings: AuthenticationSettings): DecodedRecord | undefined
  /**
   * Loads the session of the token from the store into the cache.
   * @throws {SessionEndedError} the token is invalid or the session has ended
   * @throws {LoginNeededError} the record is unusable for this release
   * @throws {SessionNotFreshError} the login is older than the route allows
   * @throws {StoreUnavailableError}
   */
  load(token: string, settings: AuthenticationSettings, budget: TimeBudget): Promise<DecodedRecord>
}

type AuthenticationSettings = Pick<ResolvedRouteSettings, 'freshSeconds' | 'slide'>

/** Dependencies of {@link createAuthentication}. */
export interface AuthenticationDeps {
  store: Pick<GuardedStore, 'find' | 'replace'>
  cache: CachedReader<DecodedRecord>
  accessTokens: Pick<AccessTokens, 'verify'>
  lifetimes: Lifetimes
  openRecord: OpenRecord
}

/** Creates the authentication, which also records the activity of sessions. */
export function createAuthentication(deps: AuthenticationDeps): Authentication {
  const { store, cache, accessTokens, lifetimes, openRecord } = deps
  const recordActivity = createActivityRecorder(store, lifetimes)

  async function loadRecord({ sessionId, userId, exp }: AccessTokenClaims, budget: TimeBudget): Promise<DecodedRecord> {
    const opened = openRecord(sessionId, await store.find(sessionId, budget))
    if (typeof opened === 'string') throw unusableError(opened)
    // RFC 8725 3.8: the token and the record must have the same user.
    if (opened.session.user.id !== userId) throw new SessionEndedError('unknown')
    if (expOf(opened.session) !== exp) throw new SessionEndedError('invalid_token')
    return opened
  }

  function admit(record: DecodedRecord, settings: AuthenticationSettings, now: number): DecodedRecord {
    const { freshSeconds, slide } = settings
    if (now - record.session.createdAt > freshSeconds * 1_000) throw new SessionNotFreshError(freshSeconds)
    if (slide) recordActivity(record, now)
    return record
  }

  return {
    findCached(token, settings) {
      const cached = cache.get(token)
      if (cached === undefined) return undefined
      const now = Date.now()
      // The session may still be live: the notification of another instance's activity may be on the way.
      return lifetimes.stateOf(cached.session, now) === 'live' ? admit(cached, settings, now) : undefined
    },

    async load(token, settings, budget) {
      const claims = accessTokens.verify(token)
      const tag = sessionTag(claims.sessionId)
      return admit(await cache.load(token, tag, () => loadRecord(claims, budget)), settings, Date.now())
    }
  }
}

/** Pause after a failed write, per session: a failing store must not get a write with every request. */
const RETRY_PAUSE_MS = 1_000

/**
 * Milliseconds in which a record read before a write may still arrive: reads and writes have connections of their own,
 * and a read may be overtaken.
 */
const LONGEST_READ_MS = 100

/** Records activity at most once per tenth of the idle timeout, in the background. */
function createActivityRecorder(store: Pick<GuardedStore, 'replace'>, lifetimes: Lifetimes) {
  /** Ids of sessions with a write in progress or a pause after a write. */
  const paused = new Set<string>()
  /** The `lastSeenAt` of recent writes, by session id. */
  const written = new Map<string, number>()

  /** Whether the record was read before a write that has recorded the activity. */
  function isOutdated({ session }: DecodedRecord, now: number): boolean {
    const lastSeenAt = written.get(session.id)
    return lastSeenAt !== undefined && lifetimes.activityOf({ ...session, lastSeenAt }, now) === null
  }

  return (record: DecodedRecord, now: number): void => {
    const { id, lastSeenAt: writtenAt } = record.session
    const lastSeenAt = lifetimes.activityOf(record.session, now)
    if (lastSeenAt === null || paused.has(id) || isOutdated(record, now)) return
    paused.add(id)
    const resume = () => void paused.delete(id)
    const resumeAfter = (ms: number) => void setTimeout(resume, Math.min(ms, LONGEST_DELAY_MS)).unref()
    const onWritten = () => {
      // With the clock of another instance ahead, the write did not change the record: only a timer limits the next
      // write.
      if (lastSeenAt === writtenAt) return resumeAfter(lifetimes.activityIntervalMs)
      written.set(id, lastSeenAt)
      setTimeout(() => written.delete(id), LONGEST_READ_MS).unref()
      resume()
    }
    // No retry: the next request records activity.
    const onFailed = () => resumeAfter(Math.min(lifetimes.activityIntervalMs, RETRY_PAUSE_MS))
    void store.replace(id, record.text, encodeActivity(record, lastSeenAt)).then(onWritten, onFailed)
  }
}
