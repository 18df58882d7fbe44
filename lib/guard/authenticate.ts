import type { CachedReader } from '../cache/session-cache.js'
import { SessionEndedError, SessionNotFreshError } from '../errors.js'
import { LONGEST_DELAY_MS } from '../internal/deadline.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Lifetimes } from '../model/lifetime.js'
import { type OpenRecord, unusableError } from '../model/open-record.js'
import type { Session } from '../model/session.js'
import { sessionTag } from '../model/session-id.js'
import { type DecodedRecord, encodeActivity, toRecord } from '../model/session-record.js'
import type { GuardedStore } from '../store/guarded-store.js'
import { type AccessTokenClaims, type AccessTokens, expOf } from '../token/access-token.js'
import type { ResolvedRouteSettings } from './route-settings.js'

/** Finds the live session of a token, for every request to a guarded route. */
export interface Authentication {
  /**
   * The cached session of the token; the object is shared with other requests and must not be changed.
   * @throws {SessionNotFreshError} the login is older than the route allows
   */
  findCached(token: string, settings: AuthenticationSettings): Session | undefined
  /**
   * Loads the session of the token from the store into the cache.
   * @throws {SessionEndedError} the token is invalid or the session has ended
   * @throws {LoginNeededError} the record is unusable for this release
   * @throws {SessionNotFreshError} the login is older than the route allows
   * @throws {StoreUnavailableError}
   */
  load(token: string, settings: AuthenticationSettings, budget: TimeBudget): Promise<Session>
}

type AuthenticationSettings = Pick<ResolvedRouteSettings, 'freshSeconds' | 'slide'>

/** Dependencies of {@link createAuthentication}. */
export interface AuthenticationDeps {
  store: Pick<GuardedStore, 'find' | 'replace'>
  /** Of sessions without their records, which would take 400 bytes each. */
  cache: CachedReader<Session>
  accessTokens: Pick<AccessTokens, 'verify'>
  lifetimes: Lifetimes
  openRecord: OpenRecord
}

/** Creates the authentication, which also records the activity of sessions. */
export function createAuthentication(deps: AuthenticationDeps): Authentication {
  const { store, cache, accessTokens, lifetimes, openRecord } = deps
  const recordActivity = createActivityRecorder(deps)

  async function loadRecord({ sessionId, userId, exp }: AccessTokenClaims, budget: TimeBudget): Promise<DecodedRecord> {
    const opened = openRecord(sessionId, await store.find(sessionId, budget))
    if (typeof opened === 'string') throw unusableError(opened)
    // RFC 8725 3.8: the token and the record must have the same user.
    if (opened.session.user.id !== userId) throw new SessionEndedError('unknown')
    if (expOf(opened.session) !== exp) throw new SessionEndedError('invalid_token')
    return opened
  }

  function admit(session: Session, { freshSeconds, slide }: AuthenticationSettings, activity: Activity): Session {
    if (activity.at - session.createdAt > freshSeconds * 1_000) throw new SessionNotFreshError(freshSeconds)
    if (slide) recordActivity(session, activity)
    return session
  }

  return {
    findCached(token, settings) {
      const cached = cache.get(token)
      if (cached === undefined) return undefined
      const now = Date.now()
      // The session may still be live: the notification of another instance's activity may be on the way.
      return lifetimes.stateOf(cached, now) === 'live' ? admit(cached, settings, { at: now }) : undefined
    },

    async load(token, settings, budget) {
      const claims = accessTokens.verify(token)
      const tag = sessionTag(claims.sessionId)
      let record: DecodedRecord | undefined
      const session = await cache.load(token, tag, async () => {
        record = await loadRecord(claims, budget)
        return record.session
      })
      return admit(session, settings, { at: Date.now(), record })
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

/** A request of a session, in epoch milliseconds, with the record that the request has read. */
interface Activity {
  at: number
  /** Undefined for a cached session. */
  record?: DecodedRecord | undefined
}

/** Records activity at most once per tenth of the idle timeout, in the background. */
function createActivityRecorder({ store, lifetimes, openRecord }: AuthenticationDeps) {
  /** Ids of sessions with a write in progress or a pause after a write. */
  const paused = new Set<string>()
  /** The `lastSeenAt` of recent writes, by session id. */
  const written = new Map<string, number>()

  /** Whether the session was read before a write that has recorded the activity. */
  function isOutdated(session: Session, now: number): boolean {
    const lastSeenAt = written.get(session.id)
    return lastSeenAt !== undefined && lifetimes.activityOf({ ...session, lastSeenAt }, now) === null
  }

  const write = (record: DecodedRecord, lastSeenAt: number) =>
    store.replace(record.session.id, record.text, encodeActivity(record, lastSeenAt))

  /** Resolves to the `lastSeenAt` in the store. */
  async function writeCached(session: Session, at: number, lastSeenAt: number): Promise<number> {
    if (await write(toRecord(session), lastSeenAt)) return lastSeenAt
    // Another instance or another release has written the record.
    const record = openRecord(session.id, await store.find(session.id))
    if (typeof record === 'string') throw unusableError(record)
    const next = lifetimes.activityOf(record.session, at)
    if (next === null) return record.session.lastSeenAt
    await write(record, next)
    return next
  }

  return (session: Session, { at, record }: Activity): void => {
    const { id, lastSeenAt: writtenAt } = session
    const due = lifetimes.activityOf(session, at)
    if (due === null || paused.has(id) || isOutdated(session, at)) return
    paused.add(id)
    const resume = () => void paused.delete(id)
    const resumeAfter = (ms: number) => void setTimeout(resume, Math.min(ms, LONGEST_DELAY_MS)).unref()
    const onWritten = (lastSeenAt: number) => {
      // With the clock of another instance ahead, the write did not change the record: only a timer limits the next
      // write.
      if (lastSeenAt === writtenAt) return resumeAfter(lifetimes.activityIntervalMs)
      written.set(id, lastSeenAt)
      setTimeout(() => written.delete(id), LONGEST_READ_MS).unref()
      resume()
    }
    // No retry: the next request records activity.
    const onFailed = () => resumeAfter(Math.min(lifetimes.activityIntervalMs, RETRY_PAUSE_MS))
    const writing = record === undefined ? writeCached(session, at, due) : write(record, due).then(() => due)
    void writing.then(onWritten, onFailed)
  }
}
