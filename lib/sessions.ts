import { InvalidUserError, StoreUnavailableError } from './errors.js'
import type { AnyReply, AnyRequest } from './http/error-reply.js'
import { KeyedQueue } from './internal/keyed-queue.js'
import { isTimeout, type TimeBudget } from './internal/time-budget.js'
import type { LogIn, LogInAnswer, LogInOptions } from './login/log-in.js'
import {
  type CreatedSession,
  createOpenSession,
  type LoginDetails,
  type OpeningParts,
  type SessionDetails
} from './login/open-session.js'
import type { UnusableReason } from './model/open-record.js'
import type { Session, SessionDataPatch, User } from './model/session.js'
import { isSessionId, userTag } from './model/session-id.js'
import { type DecodedRecord, encodeUpdate } from './model/session-record.js'
import { isUserId, type UserParser } from './model/user.js'
import type { EndReason, StoredSession } from './store/session-store.js'

/**
 * `app.sessions`. A session that one method shows is a session that every other method and the guard know. Each method
 * that asks the store rejects with a `StoreUnavailableError` when the store gives no answer within `storeTimeoutMs`.
 */
export interface Sessions {
  /**
   * Opens a session without asking the upstream: for a login of your own (a magic link, OAuth, a passkey).
   * @throws {InvalidUserError} the user does not fit `userSchema`
   * @throws {InvalidDataError} `data` is no JSON object, or longer than `session.maxDataBytes`
   * @throws {InvalidOptionError} `ttlSeconds` is no integer from 1 to `session.ttlSeconds`
   * @throws {InvalidClaimsError} `jwt.claims` is at fault
   * @throws {SessionLimitReachedError} the user has `session.maxPerUser` sessions and `onMaxPerUser` is `'reject'`
   */
  create(user: User, details?: SessionDetails): Promise<CreatedSession>
  /**
   * Does for a route of your own what the login route does once the upstream has accepted the credentials: opens a session,
   * ends the session of the request's token, takes the session back when the answer does not reach the client.
   *
   * ```ts
   * app.post('/magic', async (request, reply) => app.sessions.login(request, reply, await userOf(request)))
   * ```
   *
   * @returns the body to answer
   * @throws {ClientGoneError} the client has gone, or the request has been answered
   * @throws {CredentialsRejectedError} `revokeAll()` was called meanwhile; else see {@link create}
   */
  login(request: AnyRequest, reply: AnyReply, user: User, options?: LogInOptions): Promise<LogInAnswer>
  /** The live session with this id, or null. Looking does not extend it. */
  find(id: string): Promise<Session | null>
  /**
   * The user's live sessions, the oldest login first.
   * @throws {InvalidUserError} this is no user id
   */
  list(userId: string): Promise<Session[]>
  /**
   * Changes fields of the session's `data`: fields that are undefined in the patch are removed, its other fields are set.
   * Fields that the patch does not have stay, also when another process changes them now. The session is not extended.
   * @returns the session as it is now, or null when there is no live one: an update never brings a session back
   * @throws {InvalidDataError} the data would be longer than `session.maxDataBytes`
   */
  update(id: string, patch: SessionDataPatch): Promise<Session | null>
  /**
   * Puts the user in the place of the stored user in every live session of this user: for a role that has changed. Claims in
   * tokens stay as they were signed.
   * @returns the number of sessions that have the new user
   * @throws {InvalidUserError} the user does not fit `userSchema`, or has another id
   */
  updateUser(userId: string, user: User): Promise<number>
  /** Ends the session on every instance at once. Does nothing when there is none. */
  revoke(id: string): Promise<void>
  /**
   * Ends all sessions of the user on every instance at once, but for the session with `exceptId`, and refuses logins that
   * are under way. For a changed password.
   * @throws {InvalidUserError} this is no user id
   */
  revokeAll(userId: string, options?: { exceptId?: string | undefined }): Promise<void>
  /** Whether the store answers, for a readiness probe. Never rejects. */
  isReady(): Promise<boolean>
}

/** What the routes and the guard use. */
export interface InternalSessions {
  newBudget(): TimeBudget
  /** @param user one that fits `userSchema`; see {@link createOpenSession} */
  create(user: User, details?: LoginDetails): Promise<CreatedSession>
  find(id: string, budget?: TimeBudget): Promise<Session | null>
  list(userId: string, budget?: TimeBudget): Promise<Session[]>
  update(id: string, patch: SessionDataPatch, budget?: TimeBudget): Promise<Session | null>
  updateUser(user: User, budget?: TimeBudget): Promise<number>
  /** Ends the session; its token is refused with the reason from now on. Resolves to what was stored, live or not. */
  end(id: string, reason: EndReason, budget?: TimeBudget): Promise<StoredSession | null>
  /** Ends the session in the background, until the store has acknowledged it or `until`, in epoch milliseconds. */
  endLater(id: string, reason: EndReason, until: number): void
  revokeAll(userId: string, exceptId?: string, budget?: TimeBudget): Promise<void>
  isReady(): Promise<boolean>
}

// Each conflict is another instance's write going through, so this many in a row are no coincidence.
const MAX_CONFLICTS = 1_000

/** The rules of a session's life, on top of a store that only stores records. */
export function createSessions(parts: OpeningParts): InternalSessions {
  const { store, openRecord, dataRules } = parts
  /** Updates of one session run one after another: of as many as ran at once, all but one would have to begin again. */
  const updates = new KeyedQueue()

  async function tryUpdate(id: string, change: SessionChange, budget: TimeBudget): Promise<Session | null> {
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      const read = liveOrNull(openRecord(id, await store.find(id, budget)))
      if (read === null) return null
      const changed = { ...read.session, ...change(read.session) }
      if (await store.replace(id, read.text, encodeUpdate(read, changed), budget)) return changed
    }
    throw new StoreUnavailableError()
  }

  function update(id: string, change: SessionChange, budget: TimeBudget): Promise<Session | null> {
    return updates.run(id, () => tryUpdate(id, change, budget))
  }

  async function list(userId: string, budget: TimeBudget | undefined): Promise<Session[]> {
    const stored = await store.list(tagOf(userId), budget)
    return stored
      .map(({ id, record }) => liveOrNull(openRecord(id, { record }))?.session)
      .filter((session): session is Session => session?.user.id === userId)
      .sort((one, other) => one.createdAt - other.createdAt)
  }

  return {
    newBudget: () => store.newBudget(),

    create: createOpenSession(parts),

    async find(id, budget) {
      if (!isSessionId(id)) return null
      return liveOrNull(openRecord(id, await store.find(id, budget)))?.session ?? null
    },

    list,

    async update(id, patch, budget = store.newBudget()) {
      const change = dataRules.copyPatch(patch)
      if (!isSessionId(id)) return null
      return spend(budget, () => update(id, ({ data }) => ({ data: change(data) }), budget))
    },

    async updateUser(user, budget = store.newBudget()) {
      const sessions = await list(user.id, budget)
      const updated = await spend(budget, () =>
        Promise.all(sessions.map(({ id }) => update(id, () => ({ user }), budget)))
      )
      return updated.filter((session) => session !== null).length
    },

    async end(id, reason, budget) {
      const ended = isSessionId(id) ? await store.end(id, reason, budget) : null
      return ended && { id, record: ended.record }
    },

    endLater(id, reason, until) {
      store.endLater(id, reason, until)
    },

    async revokeAll(userId, exceptId, budget) {
      await store.endAll(tagOf(userId), 'revoked', isSessionId(exceptId) ? exceptId : null, budget)
    },

    isReady: () => store.isReady()
  }
}

/** What changes of a session. */
type SessionChange = (session: Session) => Partial<Pick<Session, 'data' | 'user'>>

/** What {@link createPublicSessions} is made of. */
export interface PublicSessionsDeps {
  sessions: InternalSessions
  logIn: LogIn
  users: UserParser
}

/** `app.sessions`: what is documented, and nothing else. */
export function createPublicSessions({ sessions, logIn, users }: PublicSessionsDeps): Sessions {
  function parse(value: User): User {
    const user = users.parse(value)
    if (user === null) throw new InvalidUserError()
    return user
  }

  return {
    // Field by field: of what an application hands in nothing else has a meaning here.
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

/** @throws {StoreUnavailableError} this process cannot know whether the session is live */
function liveOrNull(opened: DecodedRecord | UnusableReason): DecodedRecord | null {
  if (opened === 'not_known') throw new StoreUnavailableError()
  return typeof opened === 'string' ? null : opened
}

/** @throws {StoreUnavailableError} the budget was spent before the work had settled */
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
