import { InvalidUserError, StoreUnavailableError } from './errors.js'
import { KeyedQueue } from './internal/keyed-queue.js'
import type { TimeBudget } from './internal/time-budget.js'
import {
  type CreatedSession,
  createOpenSession,
  type LoginDetails,
  type OpeningParts,
  type SessionDetails
} from './login/open-session.js'
import type { NotOpened } from './model/open-record.js'
import type { Session, SessionDataPatch, User } from './model/session.js'
import { copyPatch } from './model/session-data.js'
import { isSessionId, userTag } from './model/session-id.js'
import { encodeUpdate, type ReadRecord } from './model/session-record.js'
import { isUserId } from './model/user.js'
import type { EndReason, StoredSession } from './store/session-store.js'

/**
 * `app.sessions`. A session that one method shows is a session that every other method and the guard know. Each method
 * that asks the store rejects with a `StoreUnavailableError` when the store gives no answer within `storeTimeoutMs`.
 */
export interface Sessions {
  /**
   * Opens a session without asking the upstream: for a login of your own (a magic link, OAuth, a passkey).
   * @throws {InvalidUserError} the user does not fit `userSchema`
   * @throws {InvalidClaimsError} `jwt.claims` is at fault
   * @throws {SessionLimitReachedError} the user has `session.maxPerUser` sessions and `onMaxPerUser` is `'reject'`
   */
  create(user: User, details?: SessionDetails): Promise<CreatedSession>
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
   * @throws {InvalidDataError} the data would be longer than 4 096 bytes of JSON
   */
  update(id: string, patch: SessionDataPatch): Promise<Session | null>
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
  /** @throws {CredentialsRejectedError} `revokeAll()` was called since the login began; else see {@link Sessions.create} */
  create(user: User, details?: LoginDetails): Promise<CreatedSession>
  find(id: string, budget?: TimeBudget): Promise<Session | null>
  list(userId: string, budget?: TimeBudget): Promise<Session[]>
  update(id: string, patch: SessionDataPatch, budget?: TimeBudget): Promise<Session | null>
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
  const { store, openRecord } = parts
  /** Updates of one session run one after another: of as many as ran at once, all but one would have to begin again. */
  const updates = new KeyedQueue()

  async function tryUpdate(id: string, change: ReturnType<typeof copyPatch>, budget: TimeBudget) {
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      const read = liveOrNull(openRecord(id, await store.find(id, budget)))
      if (read === null) return null
      const data = change(read.session.data)
      if (await store.replace(id, read.text, encodeUpdate(read, data), budget)) return { ...read.session, data }
    }
    throw new StoreUnavailableError()
  }

  return {
    newBudget: () => store.newBudget(),

    create: createOpenSession(parts),

    async find(id, budget) {
      if (!isSessionId(id)) return null
      return liveOrNull(openRecord(id, await store.find(id, budget)))?.session ?? null
    },

    async list(userId, budget) {
      const stored = await store.list(tagOf(userId), budget)
      return stored
        .map(({ id, record }) => liveOrNull(openRecord(id, { record }))?.session)
        .filter((session): session is Session => session?.user.id === userId)
        .sort((one, other) => one.createdAt - other.createdAt)
    },

    async update(id, patch, budget = store.newBudget()) {
      const change = copyPatch(patch)
      if (!isSessionId(id)) return null
      try {
        return await budget.spend(() => updates.run(id, () => tryUpdate(id, change, budget)))
      } catch (error) {
        throw isTimeout(error) ? new StoreUnavailableError(error) : error
      }
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

/** `app.sessions`: what is documented, and nothing else. */
export function publicSessions(sessions: InternalSessions): Sessions {
  return {
    create: async (user, details) => sessions.create(user, { ip: details?.ip, userAgent: details?.userAgent }),
    find: (id) => sessions.find(id),
    list: (userId) => sessions.list(userId),
    update: (id, patch) => sessions.update(id, patch),
    revoke: async (id) => void (await sessions.end(id, 'revoked')),
    revokeAll: async (userId, options) => sessions.revokeAll(userId, options?.exceptId),
    isReady: () => sessions.isReady()
  }
}

/** @throws {StoreUnavailableError} this process cannot know whether the session is live */
function liveOrNull(opened: ReadRecord | NotOpened): ReadRecord | null {
  if (opened === 'not_known') throw new StoreUnavailableError()
  return typeof opened === 'string' ? null : opened
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ETIMEDOUT'
}

function tagOf(userId: unknown): string {
  if (!isUserId(userId)) throw new InvalidUserError()
  return userTag(userId)
}
