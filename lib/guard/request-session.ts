import { copyParsed } from '../internal/json.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { RequestSession, Session, SessionData, SessionDataPatch, User } from '../model/session.js'
import type { InternalSessions } from '../sessions.js'

/** What the methods of `request.session` need. */
export type SessionUpdater = Pick<InternalSessions, 'newBudget' | 'update'>

/**
 * `request.session`. What it has besides data is a method and private, so that a session is nothing but data to JSON,
 * structuredClone() and Object.keys().
 */
class GuardedSession implements RequestSession {
  readonly id: string
  readonly user: User
  data: SessionData
  readonly createdAt: number
  readonly expiresAt: number
  readonly lastSeenAt: number
  readonly ip: string | null
  readonly userAgent: string | null
  readonly #sessions: SessionUpdater
  /** Null: the guard did not wait for the store. */
  readonly #budget: TimeBudget | null

  /** A copy, field by field, which is the fastest: the cached session is shared with other requests, the copy is not. */
  constructor(sessions: SessionUpdater, session: Session, budget: TimeBudget | null) {
    this.id = session.id
    this.user = copyParsed(session.user)
    this.data = copyParsed(session.data)
    this.createdAt = session.createdAt
    this.expiresAt = session.expiresAt
    this.lastSeenAt = session.lastSeenAt
    this.ip = session.ip
    this.userAgent = session.userAgent
    this.#sessions = sessions
    this.#budget = budget
  }

  async update(patch: SessionDataPatch): Promise<Session | null> {
    const updated = await this.#sessions.update(this.id, patch, GuardedSession.budgetOf(this))
    if (updated !== null) this.data = updated.data
    return updated
  }

  static budgetOf(session: RequestSession): TimeBudget {
    const guarded = session as GuardedSession
    return guarded.#budget?.fork() ?? guarded.#sessions.newBudget()
  }
}

/** What handlers find as `request.session`. */
export function createRequestSession(
  sessions: SessionUpdater,
  session: Session,
  budget: TimeBudget | null
): RequestSession {
  return new GuardedSession(sessions, session, budget)
}

/**
 * A new budget for the handler: what the guard has left of the time that the request may wait for the store. Each call
 * of a handler has its own, so that a long request can make many.
 */
export const budgetOf: (session: RequestSession) => TimeBudget = GuardedSession.budgetOf
