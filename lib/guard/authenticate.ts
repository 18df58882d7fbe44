import type { CachedReader } from '../cache/session-cache.js'
import { SessionEndedError, SessionNotFreshError } from '../errors.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Lifetimes } from '../model/lifetime.js'
import { type OpenRecord, unusableError } from '../model/open-record.js'
import { splitSessionId } from '../model/session-id.js'
import { type DecodedRecord, encodeActivity } from '../model/session-record.js'
import type { GuardedStore } from '../store/guarded-store.js'
import { type AccessTokenClaims, type AccessTokens, expOf } from '../token/access-token.js'
import type { ResolvedRouteSettings } from './route-settings.js'

/** The way from a token to its live session, which every request to a guarded route takes. */
export interface Authentication {
  /**
   * The session of the token, if it is cached: shared with other requests, and not to be changed.
   * @throws {SessionNotFreshError} the login was too long ago for the route
   */
  findCached(token: string, settings: AuthenticationSettings): DecodedRecord | undefined
  /**
   * The session of the token, which is then cached.
   * @throws {SessionEndedError} there is no such session
   * @throws {LoginNeededError} the session is stored in a way that this release cannot use
   * @throws {SessionNotFreshError} the login was too long ago for the route
   * @throws {StoreUnavailableError}
   */
  load(token: string, settings: AuthenticationSettings, budget: TimeBudget): Promise<DecodedRecord>
}

type AuthenticationSettings = Pick<ResolvedRouteSettings, 'freshSeconds' | 'slide'>

/** What {@link createAuthentication} is made of. */
export interface AuthenticationDeps {
  store: Pick<GuardedStore, 'find' | 'replace'>
  cache: CachedReader<DecodedRecord>
  accessTokens: Pick<AccessTokens, 'verify'>
  lifetimes: Lifetimes
  openRecord: OpenRecord
}

/** Checks tokens, and records the activity of their sessions. */
export function createAuthentication(parts: AuthenticationDeps): Authentication {
  const { store, cache, accessTokens, lifetimes, openRecord } = parts
  const recordActivity = createActivityRecorder(store, lifetimes)

  async function read({ sessionId, userId, exp }: AccessTokenClaims, budget: TimeBudget): Promise<DecodedRecord> {
    const opened = openRecord(sessionId, await store.find(sessionId, budget))
    if (typeof opened === 'string') throw unusableError(opened)
    // RFC 8725 3.8: the token and the record must name the same user.
    if (opened.session.user.id !== userId) throw new SessionEndedError('unknown')
    if (expOf(opened.session) !== exp) throw new SessionEndedError('invalid_token')
    return opened
  }

  function use(record: DecodedRecord, settings: AuthenticationSettings, now: number): DecodedRecord {
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
      // Another instance may know of activity that this cache has not been notified of.
      return lifetimes.stateOf(cached.session, now) === 'live' ? use(cached, settings, now) : undefined
    },

    async load(token, settings, budget) {
      const claims = accessTokens.verify(token)
      const [tag] = splitSessionId(claims.sessionId)
      return use(await cache.load(token, tag, () => read(claims, budget)), settings, Date.now())
    }
  }
}

/** For how long the activity of a session is not written again, when it could not be written: there may be many sessions. */
const RETRY_PAUSE_MS = 1_000

// A longer delay overflows Node's timers, which then fire at once.
const LONGEST_DELAY_MS = 2 ** 31 - 1

/** Writes that a session is in use, at most once in a tenth of the idle timeout. No request waits for the write. */
function createActivityRecorder(store: Pick<GuardedStore, 'replace'>, lifetimes: Lifetimes) {
  /** Ids of sessions that are not to be written now. */
  const paused = new Set<string>()

  return (record: DecodedRecord, now: number): void => {
    const { id, lastSeenAt: writtenAt } = record.session
    const lastSeenAt = lifetimes.activityOf(record.session, now)
    if (lastSeenAt === null || paused.has(id)) return
    paused.add(id)
    const release = () => paused.delete(id)
    const releaseIn = (ms: number) => setTimeout(release, Math.min(ms, LONGEST_DELAY_MS)).unref()
    const onWritten = () => {
      // The record does not show this write when the clock of another instance is ahead.
      if (lastSeenAt === writtenAt) releaseIn(lifetimes.activityIntervalMs)
      // Requests that have read the record as it was before, and were answered together with this write, come first.
      else setImmediate(release)
    }
    // A write that was lost to another write is not repeated: the next request is soon enough.
    const onFailed = () => releaseIn(Math.min(lifetimes.activityIntervalMs, RETRY_PAUSE_MS))
    void store.replace(id, record.text, encodeActivity(record, lastSeenAt)).then(onWritten, onFailed)
  }
}
