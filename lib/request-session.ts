import type { RequestSession, Session, SessionDataPatch } from './session.js'
import type { Sessions } from './sessions.js'

type Mutable<T> = { -readonly [Key in keyof T]: T[Key] }

/** Makes what handlers find as `request.session`. */
export function createRequestSessions(sessions: Pick<Sessions, 'update'>): (session: Session) => RequestSession {
  // A method of the class, so that a session is nothing but data to JSON, structuredClone() and Object.keys().
  class GuardedSession {
    async update(this: Mutable<Session>, patch: SessionDataPatch): Promise<Session | null> {
      const updated = await sessions.update(this.id, patch)
      if (updated !== null) this.data = updated.data
      return updated
    }
  }
  return (session) => Object.assign(new GuardedSession(), session)
}
