import { InvalidUserError, StoreUnavailableError } from './errors.js'
import type { AnyReply, AnyRequest } from './http/error-reply.js'
import { isTimeout } from './internal/deadline.js'
import { KeyedQueue } from './internal/keyed-queue.js'
import type { TimeBudget } from './internal/time-budget.js'
import type { LogIn, LogInAnswer, LogInOptions } from './login/log-in.js'
import {
  type CreatedSession,
  createOpenSession,
  type LoginDetails,
  type OpenSessionDeps,
  type SessionDetails
} from './login/open-session.js'
import type { UnusableReason } from './model/open-record.js'
import type { Session, SessionDataPatch, User } from './model/session.js'
import { isSessionId, userTag } from './model/session-id.js'
import { type DecodedRecord, encodeUpdate } from './model/session-record.js'
import { isUserId, type UserParser } from './model/user.js'
import type { EndReason, StoredSession } from './store/session-store.js'

/**
 * `app.sessions`. All methods and the guard agree on which sessions are live. Each method with a call to the store
 * rejects with a `StoreUnavailableError` without a response within `storeTimeoutMs`.
 */
export interface Sessions {
  /**
   * Opens a session without a call to the upstream, for the application's own login (a magic link, OAuth, a passkey).
   * @throws {InvalidUserError} the user does not match `userSchema`
   * @throws {InvalidDataError} `data` is not a JSON object, or longer than `session.maxDataBytes`
   * @throws {InvalidOptionError} `ttlSeconds` is not an integer from 1 to `session.ttlSeconds`
   * @throws {InvalidClaimsError} `jwt.claims` threw or returned invalid claims
   * @throws {SessionLimitReachedError} the user has `session.maxPerUser` sessions and `onMaxPerUser` is `'reject'`
   */
  create(user: User, details?: SessionDetails): Promise<CreatedSession>
  /**
   * Completes a login in a route of the application, like the login route after the upstream has accepted the
   * credentials: opens a session, ends the session of the request's token, and revokes the new session if the response
   * does not reach the client.
   *
   * ```ts
   * app.post('/magic', async (request, reply) => app.sessions.login(request, reply, await userOf(request)))
   * ```
   *
   * @returns the body of the response
   * @throws {ClientGoneError} the client has disconnected, or the response was already sent
   * @throws {CredentialsRejectedError} `revokeAll()` was called meanwhile; other errors: see {@link create}
   */
  login(request: AnyRequest, reply: AnyReply, user: User, options?: LogInOptions): Promise<LogInAnswer>
  /** Finds a live session by id; null if absent. The call does not extend the session. */
  find(id: string): Promise<Session | null>
  /**
   * Lists the user's live sessions, the oldest login first.
   * @throws {InvalidUserError} not a user id
   */
  list(userId: string): Promise<Session[]>
  /**
   * Changes fields of the session's `data`: sets defined fields of the patch and removes undefined fields. Other fields
   * keep concurrent changes by other processes. The call does not extend the session.
   * @returns the changed session, or null without a live session: an update never reopens a session
   * @throws {InvalidDataError} the changed data is longer than `session.maxDataBytes`
   */
  update(id: string, patch: SessionDataPatch): Promise<Session | null>
  /**
   * Replaces the stored user in every live session of the user, for example with a new role. The claims of issued
   * tokens do not change.
   * @returns the number of changed sessions
   * @throws {InvalidUserError} the user does not match `userSchema`, or has another id
   */
  updateUser(userId: string, user: User): Promise<number>
  /** Ends the session on every instance at once. Does nothing without a session. */
  revoke(id: string): Promise<void>
  /**
   * Ends all sessions of the user on every instance at once except the session `exceptId`, and rejects logins in
   * progress. For password changes.
   * @throws {InvalidUserError} not a user id
   */
  revokeAll(userId: string, options?: { exceptId?: string | undefined }): Promise<void>
  /** Whether the store responds, for a readiness probe. Never rejects. */
  isReady(): Promise<boolean>
}

/** The sessions for routes and guard. */
export interface InternalSessions {
  newBudget(): TimeBudget
  /** @param user matches `userSchema`; see {@link createOpenSession} */
  create(user: User, details?: LoginDetails): Promise<CreatedSession>
  find(id: string, budget?: TimeBudget): Promise<Session | null>
  list(userId: string, budget?: TimeBudget): Promise<Session[]>
  update(id: string, patch: SessionDataPatch, budget?: TimeBudget): Promise<Session | null>
  updateUser(user: User, budget?: TimeBudget): Promise<number>
  /** Ends the session for the reason. Resolves to the stored session, which may have expired before. */
  end(id: string, reason: EndReason, budget?: TimeBudget): Promise<StoredSession | null>
  /** Ends the session in the background: retries until an acknowledgment of the store, or until `until` (epoch ms). */
  endLater(id: string, reason: EndReason, until: number): void
  revokeAll(userId: string, exceptId?: string, budget?: TimeBudget): Promise<void>
  isReady(): Promise<boolean>
}

// Each conflict is a successful write of another instance: a series of this length is not a coincidence.
const MAX_CONFLICTS = 1_000

/** Creates the sessions on top of a store of records. */
export function createSessions(deps: OpenSessionDeps): InternalSessions {
  return new StoredSessions(deps)
}

/** Fields for an update of a session. */
type SessionChange = (session: Session) => Partial<Pick<Session, 'data' | 'user'>>

class StoredSessions implements InternalSessions {
  readonly create: InternalSessions['create']
  readonly #store: OpenSessionDeps['store']
  readonly #openRecord: OpenSessionDeps['openRecord']
  readonly #dataRules: OpenSessionDeps['dataRules']
  /**
   * Runs the updates of a session one after another: of concurrent updates, all but one would conflict and start again.
   */
  readonly #updates = new KeyedQueue()

  constructor(deps: OpenSessionDeps) {
    this.create = createOpenSession(deps)
    this.#store = deps.store
    this.#openRecord = deps.openRecord
    this.#dataRules = deps.dataRules
  }

  newBudget(): TimeBudget {
    return this.#store.newBudget()
  }

  async find(id: string, budget?: TimeBudget): Promise<Session | null> {
    if (!isSessionId(id)) return null
    return liveOrNull(this.#openRecord(id, await this.#store.find(id, budget)))?.session ?? null
  }

  async list(userId: string, budget?: TimeBudget): Promise<Session[]> {
    const stored = await this.#store.list(tagOf(userId), budget)
    return stored
      .map(({ id, record }) => liveOrNull(this.#openRecord(id, { record }))?.session)
      .filter((session): session is Session => session?.user.id === userId)
      .sort((left, right) => left.createdAt - right.createdAt)
  }

  async update(id: string, patch: SessionDataPatch, budget = this.newBudget()): Promise<Session | null> {
    const applyPatch = this.#dataRules.copyPatch(patch)
    if (!isSessionId(id)) return null
    return spend(budget, () => this.#update(id, ({ data }) => ({ data: applyPatch(data) }), budget))
  }

  async updateUser(user: User, budget = this.newBudget()): Promise<number> {
    const sessions = await this.list(user.id, budget)
    const updated = await spend(budget, () =>
      Promise.all(sessions.map(({ id }) => this.#update(id, () => ({ user }), budget)))
    )
    return updated.filter((session) => session !== null).length
  }

  async end(id: string, reason: EndReason, budget?: TimeBudget): Promise<StoredSession | null> {
    const ended = isSessionId(id) ? await this.#store.end(id, reason, budget) : null
    return ended && { id, record: ended.record }
  }

  endLater(id: string, reason: EndReason, until: number): void {
    this.#store.endLater(id, reason, until)
  }

  async revokeAll(userId: string, exceptId?: string, budget?: TimeBudget): Promise<void> {
    await this.#store.endAll(tagOf(userId), 'revoked', isSessionId(exceptId) ? exceptId : null, budget)
  }

  isReady(): Promise<boolean> {
    return this.#store.isReady()
  }

  #update(id: string, change: SessionChange, budget: TimeBudget): Promise<Session | null> {
    return this.#updates.run(id, () => this.#updateNow(id, change, budget))
  }

  async #updateNow(id: string, change: SessionChange, budget: TimeBudget): Promise<Session | null> {
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      const record = liveOrNull(this.#openRecord(id, await this.#store.find(id, budget)))
      if (record === null) return null
      const changed = { ...record.session, ...change(record.session) }
      if (await this.#store.replace(id, record.text, encodeUpdate(record, changed), budget)) return changed
    }
    throw new StoreUnavailableError()
  }
}

/** Dependencies of {@link createPublicSessions}. */
export interface PublicSessionsDeps {
  sessions: InternalSessions
  logIn: LogIn
  users: UserParser
}

/** Creates `app.sessions`, with the documented methods only. */
export function createPublicSessions({ sessions, logIn, users }: PublicSessionsDeps): Sessions {
  function parse(value: User): User {
    const user = users.parse(value)
    if (user === null) throw new InvalidUserError()
    return user
  }

  return {
    // Copy each documented field: an application must not set internal details.
    create: async (user, details) =>
      sessions.create(parse(user), {
        ip: details?.ip,
        userAgent: details?.userAgent,
        data: details?.data,
        ttlSeconds: details?.ttlSeconds
      }),
    login: async (request, reply, user, options) =>
      logIn(request, reply, { user: parse(user), data: options?.data, ttlSeconds: options?.ttlSeconds }),
    async updateUser(userId, value) {
      const user = parse(value)
      if (user.id !== userId) throw new InvalidUserError()
      return sessions.updateUser(user)
    },
    find: (id) => sessions.find(id),
    list: (userId) => sessions.list(userId),
    update: (id, patch) => sessions.update(id, patch),
    revoke: async (id) => void (await sessions.end(id, 'revoked')),
    revokeAll: async (userId, options) => sessions.revokeAll(userId, options?.exceptId),
    isReady: () => sessions.isReady()
  }
}

/** @throws {StoreUnavailableError} the idle expiry is not known to this process yet */
function liveOrNull(opened: DecodedRecord | UnusableReason): DecodedRecord | null {
  if (opened === 'not_known') throw new StoreUnavailableError()
  return typeof opened === 'string' ? null : opened
}

/** @throws {StoreUnavailableError} the work exceeded the budget */
async function spend<T>(budget: TimeBudget, work: () => Promise<T>): Promise<T> {
  try {
    return await budget.spend(work)
  } catch (error) {
    throw isTimeout(error) ? new StoreUnavailableError(error) : error
  }
}

function tagOf(userId: unknown): string {
  if (!isUserId(userId)) throw new InvalidUserError()
  return userTag(userId)
}
