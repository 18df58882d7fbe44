import {
  CredentialsRejectedError,
  InvalidOptionError,
  SessionLimitReachedError,
  StoreUnavailableError
} from '../errors.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Lifetimes } from '../model/lifetime.js'
import type { OpenRecord } from '../model/open-record.js'
import type { Session, SessionData, User } from '../model/session.js'
import type { SessionDataRules } from '../model/session-data.js'
import { createSessionId, splitSessionId } from '../model/session-id.js'
import { encodeRecord } from '../model/session-record.js'
import type { GuardedStore } from '../store/guarded-store.js'
import type { SessionLimit } from '../store/session-store.js'
import { type AccessTokens, expOf } from '../token/access-token.js'

/** What a new session is made of, besides the user. */
export interface SessionDetails {
  /** Cut at 64 characters. */
  ip?: string | undefined
  /** Cut at 256 characters. */
  userAgent?: string | undefined
  /** The application's own `data`: a JSON object of at most `session.maxDataBytes`. Default: none. */
  data?: SessionData | undefined
  /** Seconds until the absolute expiry: 1 to `session.ttlSeconds`, which is the default. For a login to be remembered or not. */
  ttlSeconds?: number | undefined
}

/** A session that was opened, and its token. */
export interface CreatedSession {
  token: string
  session: Session
}

/** How a login opens a session. */
export interface LoginDetails extends SessionDetails {
  /** In place of `data` when there is none: the data of a session that is replaced, which was checked when it was set. */
  inheritedData?: SessionData | undefined
  /** The session of the request, if it is the user's: it ends in the same step. */
  replaces?: string | null
  /** `performance.now()` when the request came in. A `revokeAll()` since then refuses the login. Default: now. */
  startedAt?: number
  budget?: TimeBudget
}

/** What {@link createOpenSession} is made of. */
export interface OpeningParts {
  store: GuardedStore
  lifetimes: Lifetimes
  limit: SessionLimit
  dataRules: SessionDataRules
  accessTokens: Pick<AccessTokens, 'sign'>
  openRecord: OpenRecord
}

const MAX_USER_AGENT_LENGTH = 256
// The longest textual IPv6 address with a zone is shorter.
const MAX_IP_LENGTH = 64

/**
 * Opens sessions of users who fit `userSchema`. The function rejects with an `InvalidDataError`, an `InvalidOptionError`
 * for `ttlSeconds`, an `InvalidClaimsError`, a `SessionLimitReachedError`, a `StoreUnavailableError`, or a
 * `CredentialsRejectedError` when `revokeAll()` was called since the login began.
 */
export function createOpenSession(parts: OpeningParts) {
  const { store, lifetimes, limit, dataRules, accessTokens, openRecord } = parts

  function newSession(user: User, details: LoginDetails): Session {
    const { data, inheritedData = {}, ttlSeconds } = details
    const createdAt = Date.now()
    return {
      id: createSessionId(user.id),
      user,
      data: data === undefined ? inheritedData : dataRules.copyNew(data),
      createdAt,
      expiresAt: createdAt + checkTtl(ttlSeconds, lifetimes.ttlSeconds) * 1_000,
      lastSeenAt: createdAt,
      ip: cut(details.ip, MAX_IP_LENGTH),
      userAgent: cut(details.userAgent, MAX_USER_AGENT_LENGTH)
    }
  }

  /** @throws what stands for each result but `'created'` */
  async function open(session: Session, details: LoginDetails, budget: TimeBudget): Promise<void> {
    const { replaces = null, startedAt = performance.now() } = details
    const record = encodeRecord(session)
    // A token is good until its `exp`, a whole second: until then the session has expired, and is not unknown.
    const expiresAt = expOf(session) * 1_000
    const create = () =>
      store.create(
        session.id,
        record,
        { expiresAt, startedMsAgo: performance.now() - startedAt, limit, replaces },
        budget
      )
    let result = await create()
    if (result === 'full' && (await makeRoom(session.id, budget))) result = await create()
    if (result === 'full') throw new SessionLimitReachedError()
    if (result === 'revoked') throw new CredentialsRejectedError()
    if (result === 'too_late') throw new StoreUnavailableError()
  }

  /**
   * Ends those sessions of the user with this session id that no token opens any more: the store cannot tell them from
   * live sessions, and they must not keep the user from logging in. Resolves to whether there were any.
   */
  async function makeRoom(id: string, budget: TimeBudget): Promise<boolean> {
    const stored = await store.list(splitSessionId(id)[0], budget)
    const states = stored.map(({ id, record }) => ({ id, opened: openRecord(id, { record }) }))
    const unusable = states.filter(({ opened }) => opened === 'expired' || opened === 'login_needed')
    await Promise.all(unusable.map(({ id }) => store.end(id, 'replaced', budget)))
    // They may have expired, and then there would be room.
    if (unusable.length === 0 && states.some(({ opened }) => opened === 'not_known')) throw new StoreUnavailableError()
    return unusable.length > 0
  }

  return async (user: User, details: LoginDetails = {}): Promise<CreatedSession> => {
    const session = newSession(user, details)
    const token = accessTokens.sign(session)
    await open(session, details, details.budget ?? store.newBudget())
    return { token, session }
  }
}

const EVICTION_LOG_PAUSE_MS = 60_000

/** The same limit, which logs when it evicts sessions, at most once a minute. For a limit that was not chosen. */
export function logEvictions(limit: SessionLimit, log: { warn(text: string): void }): SessionLimit {
  let loggedAt = Number.NEGATIVE_INFINITY
  const text =
    `A login has ended older sessions of its user: by default a user may have ${limit.max}. ` +
    'Set `session.maxPerUser` to the number that you want.'
  return {
    ...limit,
    onEvicted() {
      const now = performance.now()
      if (now - loggedAt < EVICTION_LOG_PAUSE_MS) return
      loggedAt = now
      log.warn(text)
    }
  }
}

/** @throws {InvalidOptionError} it is no integer from 1 to `max` */
function checkTtl(ttlSeconds: unknown, max: number): number {
  if (ttlSeconds === undefined) return max
  if (Number.isInteger(ttlSeconds) && Number(ttlSeconds) >= 1 && Number(ttlSeconds) <= max) return Number(ttlSeconds)
  throw new InvalidOptionError('ttlSeconds', `must be an integer from 1 to ${max}, the \`session.ttlSeconds\``)
}

function cut(text: unknown, maxLength: number): string | null {
  return typeof text === 'string' ? text.slice(0, maxLength) : null
}
