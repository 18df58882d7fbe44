import { ends } from '../diagnostics/channels.js'
import { publishEnds } from '../diagnostics/ends.js'
import {
  CredentialsRejectedError,
  InvalidClaimsError,
  InvalidOptionError,
  SessionLimitReachedError,
  StoreUnavailableError
} from '../errors.js'
import { type Log, MinuteLog } from '../internal/minute-log.js'
import { PlainCause } from '../internal/redact-error.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Lifetimes } from '../model/lifetime.js'
import type { OpenRecord } from '../model/open-record.js'
import type { Session, SessionData, User } from '../model/session.js'
import type { SessionDataRules } from '../model/session-data.js'
import { createSessionId, sessionTag } from '../model/session-id.js'
import { encodeRecord } from '../model/session-record.js'
import type { GuardedStore } from '../store/guarded-store.js'
import type { CreateOptions, CreateResult, SessionLimit } from '../store/session-store.js'
import { type AccessTokens, expOf } from '../token/access-token.js'

/** Options of `app.sessions.create()`. */
export interface SessionDetails {
  /** The client's IP address, truncated to 64 characters. Default: null. */
  ip?: string | undefined
  /** The client's `User-Agent`, truncated to 256 characters. Default: null. */
  userAgent?: string | undefined
  /** The application's `data`: a JSON object of at most `session.maxDataBytes` bytes. Default: none. */
  data?: SessionData | undefined
  /** Seconds until the absolute expiry: 1 to `session.ttlSeconds`, the default. For "remember me". */
  ttlSeconds?: number | undefined
}

/** A new session with its token. */
export interface CreatedSession {
  token: string
  session: Session
}

/** Options of a login. */
export interface LoginDetails extends SessionDetails {
  /** Used without `data`: the data of the replaced session, checked when that session stored the data. */
  inheritedData?: SessionData | undefined
  /** Encrypts the upstream's tokens of the session, for the store. Default: no tokens. */
  sealTokens?: ((session: Session) => string) | undefined
  /** The id of the user's session that ends in the same step; null: none. Default: null. */
  replaces?: string | null
  /** Maximum length of the token, in characters. Default: no maximum of the login. */
  maxTokenLength?: number
  /** `performance.now()` at the start of the request. A `revokeAll()` since then rejects the login. Default: now. */
  startedAt?: number
  /** Time for the store. Default: a new budget of `storeTimeoutMs`. */
  budget?: TimeBudget
  /** Epoch milliseconds of the login. Only tests log in in the past. Default: now. */
  createdAt?: number | undefined
  /** Epoch milliseconds of the last activity. Default: `createdAt`. */
  lastSeenAt?: number | undefined
}

/** Dependencies of {@link createOpenSession}. */
export interface OpenSessionDeps {
  store: Pick<GuardedStore, 'newBudget' | 'create' | 'list' | 'end'>
  lifetimes: Lifetimes
  limit: Required<SessionLimit>
  dataRules: SessionDataRules
  accessTokens: Pick<AccessTokens, 'sign'>
  openRecord: OpenRecord
}

const MAX_USER_AGENT_LENGTH = 256
// Longer than any IPv6 address with a zone.
const MAX_IP_LENGTH = 64

/**
 * Creates the function that opens sessions, for users that fit `userSchema`. The function rejects with an
 * `InvalidDataError`, an `InvalidOptionError` for `ttlSeconds`, an `InvalidClaimsError`, a `SessionLimitReachedError`,
 * a `StoreUnavailableError`, or a `CredentialsRejectedError` when `revokeAll()` was called since the login began.
 */
export function createOpenSession(deps: OpenSessionDeps) {
  const { store, lifetimes, limit, dataRules, accessTokens, openRecord } = deps

  function newSession(user: User, details: LoginDetails): Session {
    const { data, inheritedData = {}, ttlSeconds, createdAt = Date.now(), lastSeenAt = createdAt } = details
    return {
      id: createSessionId(user.id),
      user,
      data: data === undefined ? inheritedData : dataRules.copyNew(data),
      createdAt,
      expiresAt: createdAt + checkTtl(ttlSeconds, lifetimes.ttlSeconds) * 1_000,
      lastSeenAt,
      ip: truncate(details.ip, MAX_IP_LENGTH),
      userAgent: truncate(details.userAgent, MAX_USER_AGENT_LENGTH)
    }
  }

  /** Returns the call of the store, which may be made twice. */
  function prepareCreate(session: Session, details: LoginDetails, budget: TimeBudget): () => Promise<CreateResult> {
    const { replaces = null, startedAt = performance.now(), sealTokens } = details
    const tokens = sealTokens?.(session)
    const record = encodeRecord(session)
    // `exp` is a whole second: stored until then, the session is reported as expired, and not as unknown.
    const expiresAt = expOf(session) * 1_000
    const reports = ends.hasSubscribers ? reportsOf(session.user.id, limit) : { limit }
    return () => {
      const startedMsAgo = performance.now() - startedAt
      return store.create(session.id, record, { expiresAt, startedMsAgo, replaces, tokens, ...reports }, budget)
    }
  }

  /**
   * Ends the user's expired and unusable sessions, which the store counts as live, so that they do not block the login.
   *
   * @param id any session id of the user
   * @returns whether a session was ended
   */
  async function makeRoom(id: string, budget: TimeBudget): Promise<boolean> {
    const stored = await store.list(sessionTag(id), budget)
    const states = stored.map(({ id, record }) => ({ id, opened: openRecord(id, { record }) }))
    const unusable = states.filter(({ opened }) => opened === 'expired' || opened === 'login_needed')
    await Promise.all(unusable.map(({ id }) => store.end(id, 'replaced', budget)))
    // An unknown session may have expired: then the limit is not reached.
    if (unusable.length === 0 && states.some(({ opened }) => opened === 'not_known')) throw new StoreUnavailableError()
    return unusable.length > 0
  }

  return async (user: User, details: LoginDetails = {}): Promise<CreatedSession> => {
    const session = newSession(user, details)
    const token = accessTokens.sign(session)
    checkLength(token, details.maxTokenLength)
    const budget = details.budget ?? store.newBudget()
    const create = prepareCreate(session, details, budget)
    let result = await create()
    if (result === 'full' && (await makeRoom(session.id, budget))) result = await create()
    if (result !== 'created') throw errorOf(result)
    return { token, session }
  }
}

function errorOf(result: Exclude<CreateResult, 'created'>): Error {
  if (result === 'full') return new SessionLimitReachedError()
  return result === 'revoked' ? new CredentialsRejectedError() : new StoreUnavailableError()
}

/** The options of `create()` that publish which sessions of the user have ended. */
function reportsOf(userId: string, limit: Required<SessionLimit>): Pick<CreateOptions, 'limit' | 'onReplaced'> {
  return {
    limit: {
      ...limit,
      onEvicted(count) {
        limit.onEvicted(count)
        publishEnds('limit', userId, count)
      }
    },
    onReplaced: () => publishEnds('login', userId)
  }
}

/** Adds a warning to the default limit: evictions are logged at most once a minute. */
export function logEvictions(limit: SessionLimit, log: Log): Required<SessionLimit> {
  const minuteLog = new MinuteLog(log)
  const text =
    `A login has ended older sessions of its user: the default limit is ${limit.max} sessions per user. ` +
    'Set `session.maxPerUser` to choose the limit.'
  return {
    ...limit,
    onEvicted: () => minuteLog.warn(text)
  }
}

/** @throws {InvalidOptionError} `ttlSeconds` is no integer from 1 to `max` */
function checkTtl(ttlSeconds: unknown, max: number): number {
  if (ttlSeconds === undefined) return max
  if (Number.isInteger(ttlSeconds) && Number(ttlSeconds) >= 1 && Number(ttlSeconds) <= max) return Number(ttlSeconds)
  throw new InvalidOptionError('ttlSeconds', `must be an integer from 1 to ${max}, which is \`session.ttlSeconds\``)
}

/** @throws {InvalidClaimsError} */
function checkLength(token: string, maxLength = Number.POSITIVE_INFINITY): void {
  if (token.length <= maxLength) return
  throw new InvalidClaimsError(new PlainCause('The token is too long for a cookie'))
}

function truncate(text: unknown, maxLength: number): string | null {
  return typeof text === 'string' ? text.slice(0, maxLength) : null
}
