import { copyParsed } from '../internal/json.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { RequestSession, Session, SessionData, SessionDataPatch, User } from '../model/session.js'
import type { InternalSessions } from '../sessions.js'

/** Dependencies of the methods of `request.session`. */
export type SessionUpdater = Pick<InternalSessions, 'newBudget' | 'update'>

/**
 * `request.session`: plain data for JSON, structuredClone() and Object.keys(), which skip methods and private fields.
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
  /** Null for a session from the cache. */
  readonly #budget: TimeBudget | null

  /**
   * Copies the session, because a cached session is shared with other requests. Assigning each field is the fastest
   * way.
   */
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

/** Creates the `request.session` of a handler. */
export function createRequestSession(
  sessions: SessionUpdater,
  session: Session,
  budget: TimeBudget | null
): RequestSession {
  return new GuardedSession(sessions, session, budget)
}

/**
 * Creates a budget for a call to the store in a handler: the rest of the guard's budget. Each call has a separate
 * budget, to allow many calls in a long request.
 */
export const budgetOf: (session: RequestSession) => TimeBudget = GuardedSession.budgetOf
