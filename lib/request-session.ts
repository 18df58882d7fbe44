import type { RequestSession, Session, SessionDataPatch } from './session.js'
import type { Sessions, VerifiedSession } from './sessions.js'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/**
 * `request.session`. What it has besides data is a method and private, so that a session is nothing but data to JSON,
 * structuredClone() and Object.keys().
 */
class GuardedSession {
  readonly #sessions: Pick<Sessions, 'update'>
  readonly #idleEnd: number | null

  constructor(sessions: Pick<Sessions, 'update'>, { session, idleEnd }: VerifiedSession) {
    this.#sessions = sessions
    this.#idleEnd = idleEnd
    Object.assign(this, session)
  }

  async update(this: Mutable<Session> & GuardedSession, patch: SessionDataPatch): Promise<Session | null> {
    const updated = await this.#sessions.update(this.id, patch)
    if (updated !== null) this.data = updated.data
    return updated
  }

  static idleEndOf(session: object): number | null {
    return (session as GuardedSession).#idleEnd
  }
}

/** What handlers find as `request.session`. */
export function createRequestSession(sessions: Pick<Sessions, 'update'>, verified: VerifiedSession): RequestSession {
  return new GuardedSession(sessions, verified) as unknown as RequestSession
}

/** Epoch milliseconds at which a `request.session` ends unless it is used, or null when it has no idle timeout. */
export const idleEndOf: (session: RequestSession) => number | null = GuardedSession.idleEndOf
