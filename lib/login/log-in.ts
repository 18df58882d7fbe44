import { ClientGoneError } from '../errors.js'
import { type ReplyWatch, watchReply } from '../http/client-presence.js'
import type { AnyReply, AnyRequest, ErrorReplies } from '../http/error-reply.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Session, SessionData, User } from '../model/session.js'
import { splitSessionId, userTag } from '../model/session-id.js'
import type { EndReason } from '../store/session-store.js'
import type { AccessTokens } from '../token/access-token.js'
import { findTokenSession } from '../token/find-token-session.js'
import { writeToken } from '../token/transport.js'
import type { CreatedSession, LoginDetails } from './open-session.js'

/** What a login may bring besides the user. */
export interface LogInOptions {
  /**
   * The application's own `data` of the new session, at most `session.maxDataBytes` of JSON. Default: the data of the
   * session that the request's token names, if that is live and the same user's.
   */
  data?: SessionData | undefined
  /** Seconds from the login to the absolute expiry: 1 to `session.ttlSeconds`, which is the default. */
  ttlSeconds?: number | undefined
}

/** The body of the answer to a login. */
export interface LogInAnswer {
  access_token: string
  token_type: 'Bearer'
  /** Seconds. */
  expires_in: number
  user: User
}

/** A login whose user is known. */
export interface LogInDetails extends LogInOptions {
  user: User
  /** Default: watched from now on. */
  watch?: ReplyWatch
}

/** What a login does once the user is known: opens the session and makes the answer. */
export type LogIn = (request: AnyRequest, reply: AnyReply, details: LogInDetails) => Promise<LogInAnswer>

/** The sessions, as far as a login needs them. */
interface LogInSessions {
  newBudget(): TimeBudget
  create(user: User, details: LoginDetails): Promise<CreatedSession>
  find(id: string, budget: TimeBudget): Promise<Session | null>
  end(id: string, reason: EndReason, budget: TimeBudget): Promise<unknown>
  endLater(id: string, reason: EndReason, until: number): void
}

/** What {@link createLogIn} is made of. */
export interface LogInParts {
  sessions: LogInSessions
  accessTokens: Pick<AccessTokens, 'findSession'>
  errorReplies: ErrorReplies
}

/** A session that the token of a request names. */
interface NamedSession {
  id: string
  expiresAt: number
}

/**
 * Makes the function behind the login route and `app.sessions.login()`. A login whose answer does not reach a client leaves
 * no session behind; the session that the request's token names ends, unless it stays open because the login failed.
 */
export function createLogIn({ sessions, accessTokens, errorReplies }: LogInParts): LogIn {
  /** The login is good all the same when the store does not acknowledge the end in time. */
  async function endOther({ id, expiresAt }: NamedSession, budget: TimeBudget): Promise<void> {
    try {
      await sessions.end(id, 'logged_in_again', budget)
    } catch {
      sessions.endLater(id, 'logged_in_again', expiresAt)
    }
  }

  return async (request, reply, { user, data, ttlSeconds, watch = watchReply(reply) }) => {
    if (watch.isGone) throw new ClientGoneError()
    const budget = sessions.newBudget()
    const { startedAt } = watch
    const previous = findTokenSession(request, accessTokens)
    const own = previous !== null && isSameUser(previous.id, user.id) ? previous : null
    const other = own === null ? previous : null
    const inherited = own && data === undefined ? await sessions.find(own.id, budget) : null
    const { token, session } = await sessions.create(user, {
      ip: request.ip,
      userAgent: request.headers['user-agent'],
      ...{ data, inheritedData: inherited?.data, ttlSeconds, replaces: own?.id ?? null, startedAt, budget }
    })
    const { id, expiresAt, createdAt } = session
    const undo = () => sessions.endLater(id, 'revoked', expiresAt)
    // A login that is not answered ends nothing.
    if (other !== null && !watch.isGone) await endOther(other, budget)
    if (watch.isGone) {
      undo()
      throw new ClientGoneError()
    }
    watch.undoUnlessSent(undo)
    reply.header('cache-control', 'no-store')
    // The next person at the browser must not find the data of the last person.
    if (other !== null) errorReplies.setClearSiteData(request, reply)
    return { ...writeToken(token), expires_in: (expiresAt - createdAt) / 1_000, user: session.user }
  }
}

/** Whether the session is one of the user's. */
function isSameUser(sessionId: string, userId: string): boolean {
  return splitSessionId(sessionId)[0] === userTag(userId)
}
