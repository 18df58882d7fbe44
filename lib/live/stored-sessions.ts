import { ends } from '../diagnostics/channels.js'
import { type EndCause, publishEnds, reasonOf } from '../diagnostics/ends.js'
import { InvalidUserError, StoreUnavailableError } from '../errors.js'
import { isTimeout } from '../internal/deadline.js'
import { KeyedQueue } from '../internal/keyed-queue.js'
import type { TimeBudget } from '../internal/time-budget.js'
import {
  type CreatedSession,
  createOpenSession,
  type LoginDetails,
  type OpenSessionDeps
} from '../login/open-session.js'
import { type UnusableReason, unusableError } from '../model/open-record.js'
import type { Session, SessionDataPatch, User } from '../model/session.js'
import { isSessionId, userTag } from '../model/session-id.js'
import { type DecodedRecord, encodeActivity, encodeUpdate } from '../model/session-record.js'
import { isUserId } from '../model/user.js'
import type { GuardedStore } from '../store/guarded-store.js'
import type { EndReason, StoredSession } from '../store/session-store.js'

/** The sessions for routes and guard. */
export interface InternalSessions {
  newBudget(): TimeBudget
  /** @param user matches `userSchema`; see {@link createOpenSession} */
  create(user: User, details?: LoginDetails): Promise<CreatedSession>
  find(id: string, budget?: TimeBudget): Promise<Session | null>
  list(userId: string, budget?: TimeBudget): Promise<Session[]>
  update(id: string, patch: SessionDataPatch, budget?: TimeBudget): Promise<Session | null>
  updateUser(user: User, budget?: TimeBudget): Promise<number>
  /**
   * Writes activity of the session, also activity that is too recent for the guard to write.
   * @throws {SessionEndedError} {LoginNeededError} {StoreUnavailableError}
   */
  extend(id: string, budget?: TimeBudget): Promise<Session>
  /** Ends the session by the cause. Resolves to the stored session, which may have expired before. */
  end(id: string, by: EndCause, budget?: TimeBudget): Promise<StoredSession | null>
  /** Ends the session in the background: retries until an acknowledgment of the store, or until `until` (epoch ms). */
  endLater(id: string, reason: EndReason, until: number): void
  revokeAll(userId: string, options: RevokeAllOptions): Promise<void>
  isReady(): Promise<boolean>
}

/** Options of {@link InternalSessions.revokeAll}. */
export interface RevokeAllOptions {
  by: EndCause
  /** The id of the session that stays open. */
  exceptId?: string | undefined
  budget?: TimeBudget
}

/** Dependencies of {@link createSessions}. */
export interface SessionsDeps extends OpenSessionDeps {
  store: GuardedStore
}

// Each conflict is a successful write of another instance: a series of this length is not a coincidence.
const MAX_CONFLICTS = 1_000

/** Creates the sessions on top of a store of records. */
export function createSessions(deps: SessionsDeps): InternalSessions {
  return new StoredSessions(deps)
}

/** Fields for an update of a session. */
type SessionChange = (session: Session) => Partial<Pick<Session, 'data' | 'user'>>

/** The changed session with its record. */
type NextRecord = (record: DecodedRecord) => { session: Session; text: string }

class StoredSessions implements InternalSessions {
  readonly create: InternalSessions['create']
  readonly #store: SessionsDeps['store']
  readonly #openRecord: SessionsDeps['openRecord']
  readonly #lifetimes: SessionsDeps['lifetimes']
  readonly #dataRules: SessionsDeps['dataRules']
  /**
   * Runs the updates of a session one after another: of concurrent updates, all but one would conflict and start again.
   */
  readonly #updates = new KeyedQueue()

  constructor(deps: SessionsDeps) {
    this.create = createOpenSession(deps)
    this.#store = deps.store
    this.#openRecord = deps.openRecord
    this.#lifetimes = deps.lifetimes
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

  async extend(id: string, budget = this.newBudget()): Promise<Session> {
    const extended = await spend(budget, () =>
      this.#replace(id, budget, (record) => {
        const { lastSeenAt: writtenAt } = record.session
        // Without an idle timeout `lastSeenAt` stays the time of the login.
        const hasIdleTimeout = Number.isFinite(this.#lifetimes.activityIntervalMs)
        const lastSeenAt = hasIdleTimeout ? Math.max(writtenAt, Date.now()) : writtenAt
        return { session: { ...record.session, lastSeenAt }, text: encodeActivity(record, lastSeenAt) }
      })
    )
    if (typeof extended === 'string') throw unusableError(extended)
    return extended
  }

  async end(id: string, by: EndCause, budget?: TimeBudget): Promise<StoredSession | null> {
    const ended = isSessionId(id) ? await this.#store.end(id, reasonOf(by), budget) : null
    if (ended !== null && ends.hasSubscribers) this.#publishEnd(by, { id, record: ended.record })
    return ended && { id, record: ended.record }
  }

  endLater(id: string, reason: EndReason, until: number): void {
    this.#store.endLater(id, reason, until)
  }

  async revokeAll(userId: string, { by, exceptId, budget }: RevokeAllOptions): Promise<void> {
    await this.#store.endAll(tagOf(userId), 'revoked', isSessionId(exceptId) ? exceptId : null, budget)
    if (ends.hasSubscribers) publishEnds(by, userId)
  }

  isReady(): Promise<boolean> {
    return this.#store.isReady()
  }

  /** The store also returns the record of a session that had expired, whose end is no news. */
  #publishEnd(by: EndCause, { id, record }: StoredSession): void {
    const opened = this.#openRecord(id, { record })
    if (opened !== 'expired') publishEnds(by, typeof opened === 'string' ? undefined : opened.session.user.id)
  }

  async #update(id: string, change: SessionChange, budget: TimeBudget): Promise<Session | null> {
    const changed = await this.#replace(id, budget, (record) => {
      const session = { ...record.session, ...change(record.session) }
      return { session, text: encodeUpdate(record, session) }
    })
    if (changed === 'not_known') throw unusableError(changed)
    return typeof changed === 'string' ? null : changed
  }

  /** Replaces the record of a live session, again after each conflict with another instance. */
  #replace(id: string, budget: TimeBudget, next: NextRecord): Promise<Session | UnusableReason> {
    return this.#updates.run(id, async () => {
      for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
        const record = this.#openRecord(id, await this.#store.find(id, budget))
        if (typeof record === 'string') return record
        const { session, text } = next(record)
        if (await this.#store.replace(id, record.text, text, budget)) return session
      }
      throw new StoreUnavailableError()
    })
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
