import { copyParsed } from '../internal/json.js'
import type { RequestSession, Session, SessionData, SessionDataPatch, User } from '../model/session.js'
import { endOf, type KeptSession } from '../model/session-record.js'
import type { InternalSessions } from '../sessions.js'

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
  readonly #sessions: Pick<InternalSessions, 'within'>
  readonly #kept: KeptSession
  readonly #waitedMs: number

  /** A copy, field by field, which is the fastest: what is kept is shared with other requests, this is the handler's. */
  constructor(sessions: Pick<InternalSessions, 'within'>, kept: KeptSession, waitedMs: number) {
    const { session } = kept
    this.id = session.id
    this.user = copyParsed(session.user)
    this.data = copyParsed(session.data)
    this.createdAt = session.createdAt
    this.expiresAt = session.expiresAt
    this.lastSeenAt = session.lastSeenAt
    this.ip = session.ip
    this.userAgent = session.userAgent
    this.#sessions = sessions
    this.#kept = kept
    this.#waitedMs = waitedMs
  }

  async update(patch: SessionDataPatch): Promise<Session | null> {
    const updated = await this.#sessions.within(this.#waitedMs).update(this.id, patch)
    if (updated !== null) this.data = updated.data
    return updated
  }

  static idleEndOf(session: RequestSession): number | null {
    const kept = (session as GuardedSession).#kept
    return kept.idleSeconds === 0 ? null : endOf(kept)
  }

  static waitedMsOf(session: RequestSession): number {
    return (session as GuardedSession).#waitedMs
  }
}

/** What handlers find as `request.session`. */
export function createRequestSession(
  sessions: Pick<InternalSessions, 'within'>,
  kept: KeptSession,
  waitedMs: number
): RequestSession {
  return new GuardedSession(sessions, kept, waitedMs)
}

/** Epoch milliseconds at which a `request.session` ends unless it is used, or null when it has no idle timeout. */
export const idleEndOf: (session: RequestSession) => number | null = GuardedSession.idleEndOf

/** How long the request has waited for the store when it was let in. */
export const waitedMsOf: (session: RequestSession) => number = GuardedSession.waitedMsOf
