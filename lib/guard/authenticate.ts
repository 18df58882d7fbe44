import type { CachedReader } from '../cache/session-cache.js'
import { SessionEndedError, SessionNotFreshError } from '../errors.js'
import { splitSessionId } from '../model/session-id.js'
import { encodeRecord, endOf, type KeptSession, lifeMsOf, readRecord } from '../model/session-record.js'
import type { UserParser } from '../model/user.js'
import type { SessionStore } from '../store/session-store.js'
import type { AccessTokenClaims, AccessTokens } from '../token/access-token.js'
import { readBearerToken } from '../token/transport.js'
import type { SessionRouteSettings } from './route-settings.js'

/** The way from a token to its session, which every request to a guarded route takes. */
export interface Verification {
  /**
   * The live session that the request's `Authorization` names: at once when it is cached, and then shared with other
   * requests. Null when it names none.
   *
   * @throws {SessionEndedError} there is none
   * @throws {SessionNotFreshError} there is one, from a login too long ago
   * @throws {StoreUnavailableError}
   */
  verify(authorization: string | undefined, settings: VerifySettings): KeptSession | Promise<KeptSession> | null
}

type VerifySettings = Pick<SessionRouteSettings, 'freshSeconds' | 'slide'>

/** A session, the text it was read from, and the end of the token that named it: one of ours may end before its session. */
export interface FoundSession {
  kept: KeptSession
  record: string
  tokenExpiresAt: number
}

interface VerificationParts {
  /** Bounded: it rejects with a StoreUnavailableError only. */
  store: SessionStore
  cache: CachedReader<FoundSession>
  /** Null: no idle timeout. */
  idleTimeoutSeconds: number | null
  users: UserParser
  accessTokens: AccessTokens
}

/** When the use of a session could not be written, its next uses are not tried for so long: they may be many. */
const RETRY_PAUSE_MS = 1_000

/** With the rules of its idle time: they hold from a use to the next. */
export function createVerification(parts: VerificationParts): Verification {
  const { store, cache, users, accessTokens } = parts
  const idleSeconds = parts.idleTimeoutSeconds ?? 0
  /** Ids of sessions whose use is being written. */
  const touching = new Set<string>()

  async function ask(authorization: string, token: string, settings: VerifySettings): Promise<KeptSession> {
    const claims = accessTokens.verify(token)
    const [tag] = splitSessionId(claims.sessionId)
    return use(await cache.load(authorization, tag, () => find(claims)), settings, Date.now())
  }

  async function find({ sessionId, userId, expiresAt }: AccessTokenClaims): Promise<FoundSession> {
    const record = await store.find(sessionId)
    const kept = readRecord(sessionId, record, users)
    if (typeof kept === 'string') throw new SessionEndedError(kept)
    // RFC 8725 3.8: the token and the record must speak of the same user.
    if (kept.session.user.id !== userId) throw new SessionEndedError('unknown')
    return { kept, record: record as string, tokenExpiresAt: expiresAt }
  }

  function use(found: FoundSession, settings: VerifySettings, now: number): KeptSession {
    const { freshSeconds = Number.POSITIVE_INFINITY, slide = true } = settings
    if (now - found.kept.session.createdAt > freshSeconds * 1_000) throw new SessionNotFreshError(freshSeconds)
    if (slide) touch(found, now)
    return found.kept
  }

  /**
   * Writes down that the session is in use, at most once in a tenth of the idle time: of the shorter one, as long as it
   * is kept with another than the options have. Nobody waits for it.
   */
  function touch({ kept, record }: FoundSession, now: number): void {
    const { id, lastSeenAt } = kept.session
    const shorterIdle = Math.min(idleSeconds || Number.POSITIVE_INFINITY, kept.idleSeconds || Number.POSITIVE_INFINITY)
    const tenthMs = shorterIdle * 100
    // Below zero when another instance's clock is ahead, which will pass; or one of them is wrong, maybe by a lot.
    const unseenMs = now - lastSeenAt
    if ((unseenMs < tenthMs && unseenMs > -5 * tenthMs) || touching.has(id)) return
    touching.add(id)
    const release = () => touching.delete(id)
    const releaseIn = (ms: number) => setTimeout(release, ms).unref()
    // Never back: the session would end for those whose clock is right. So the record does not say that it was written.
    const next = { session: { ...kept.session, lastSeenAt: Math.max(lastSeenAt, now) }, idleSeconds }
    const lifeMs = lifeMsOf({ session: { ...kept.session, lastSeenAt: now }, idleSeconds })
    // Also when it was lost to somebody else's write: the next use is soon enough. Those that have read the record as it
    // was, and were answered together with this write, come first.
    const written = () => (unseenMs < 0 ? releaseIn(tenthMs) : setImmediate(release))
    const failed = () => releaseIn(Math.min(tenthMs, RETRY_PAUSE_MS))
    void store.replace(id, record, encodeRecord(next), lifeMs).then(written, failed)
  }

  return {
    verify(authorization, settings) {
      if (authorization === undefined) return null
      const cached = cache.get(authorization)
      if (cached !== undefined) {
        const now = Date.now()
        if (cached.tokenExpiresAt > now && endOf(cached.kept) > now) return use(cached, settings, now)
      }
      const token = readBearerToken(authorization)
      return token === null ? null : ask(authorization, token, settings)
    }
  }
}
