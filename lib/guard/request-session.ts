import type { TokenCustody } from '../custody/token-custody.js'
import { SessionEndedError } from '../errors.js'
import type { AnyReply } from '../http/error-reply.js'
import { copyParsed } from '../internal/json.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { InternalSessions } from '../live/stored-sessions.js'
import type { WatchedSessions } from '../live/watched-sessions.js'
import type { RequestSession, Session, SessionData, SessionDataPatch, UpstreamAccess, User } from '../model/session.js'
import { createUpstreamAccess } from './upstream-access.js'

/** Dependencies of the methods of `request.session`. */
export interface RequestSessionDeps {
  sessions: Pick<InternalSessions, 'newBudget' | 'update'>
  watched: Pick<WatchedSessions, 'watch'>
  /** Null: the upstream's tokens are not stored. */
  custody: Pick<TokenCustody, 'accessToken'> | null
}

/** The request of a session. */
interface Origin {
  reply: AnyReply
  /** Null for a session from the cache. */
  budget: TimeBudget | null
}

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
  readonly #deps: RequestSessionDeps
  readonly #origin: Origin
  #signal: AbortSignal | undefined

  /**
   * Copies the session, because a cached session is shared with other requests. Assigning each field is the fastest
   * way.
   */
  constructor(deps: RequestSessionDeps, session: Session, origin: Origin) {
    this.id = session.id
    this.user = copyParsed(session.user)
    this.data = copyParsed(session.data)
    this.createdAt = session.createdAt
    this.expiresAt = session.expiresAt
    this.lastSeenAt = session.lastSeenAt
    this.ip = session.ip
    this.userAgent = session.userAgent
    this.#deps = deps
    this.#origin = origin
  }

  get signal(): AbortSignal {
    this.#signal ??= createSignal(this.#deps.watched, this, this.#origin.reply)
    return this.#signal
  }

  // Undefined, contrary to the type, see RequestSession.
  get upstream(): UpstreamAccess {
    const { custody } = this.#deps
    return (custody === null ? undefined : createUpstreamAccess(custody, this)) as UpstreamAccess
  }

  async update(patch: SessionDataPatch): Promise<Session | null> {
    const updated = await this.#deps.sessions.update(this.id, patch, GuardedSession.budgetOf(this))
    if (updated !== null) this.data = updated.data
    return updated
  }

  static budgetOf(session: RequestSession): TimeBudget {
    const guarded = session as GuardedSession
    return guarded.#origin.budget?.fork() ?? guarded.#deps.sessions.newBudget()
  }
}

/** Aborts at the end of the session. After the response has closed, no watch and no listener is left. */
function createSignal(watched: RequestSessionDeps['watched'], session: Session, { raw }: AnyReply): AbortSignal {
  const controller = new AbortController()
  if (raw.destroyed || raw.closed) return controller.signal
  const stop = watched.watch(session, (event) => {
    if ('ended' in event) controller.abort(new SessionEndedError(event.ended))
  })
  raw.once('close', stop)
  return controller.signal
}

/** Creates the `request.session` of a handler. */
export function createRequestSession(deps: RequestSessionDeps, session: Session, origin: Origin): RequestSession {
  return new GuardedSession(deps, session, origin)
}

/**
 * Creates a budget for a call to the store in a handler: the rest of the guard's budget. Each call has a separate
 * budget, to allow many calls in a long request.
 */
export const budgetOf: (session: RequestSession) => TimeBudget = GuardedSession.budgetOf
