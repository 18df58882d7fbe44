import { ClientGoneError } from '../errors.js'
import { type ReplyWatch, watchReply } from '../http/client-presence.js'
import { type AnyReply, type AnyRequest, type ErrorReplies, exposeDate } from '../http/error-reply.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Session, SessionData, User } from '../model/session.js'
import { sessionTag, userTag } from '../model/session-id.js'
import type { EndReason } from '../store/session-store.js'
import type { AccessTokens } from '../token/access-token.js'
import { findTokenSession } from '../token/find-token-session.js'
import type { TokenFields, TokenTransport } from '../token/transport.js'
import type { CreatedSession, LoginDetails } from './open-session.js'

/** Options of `app.sessions.login()`. */
export interface LogInOptions {
  /**
   * The application's `data` of the new session: a JSON object of at most `session.maxDataBytes` bytes. Default: the
   * data of the session of the request's token, if that session is live and belongs to the same user; else none.
   */
  data?: SessionData | undefined
  /** Seconds from the login to the absolute expiry: 1 to `session.ttlSeconds`, which is the default. */
  ttlSeconds?: number | undefined
}

/**
 * The body of the reply to a login: with the signed token in `access_token`; or with `token_type: 'Cookie'`, and the
 * token in a `Set-Cookie` header of the reply.
 */
export type LogInAnswer = TokenFields & {
  /** Seconds until the absolute expiry. */
  expires_in: number
  /** The fields of `userSchema`. */
  user: User
}

/** A login after the upstream or the application has accepted the user. */
export interface LogInDetails extends LogInOptions {
  /** Fits `userSchema`. */
  user: User
  /** Encrypts the upstream's tokens of the login, for the store. Default: no tokens. */
  sealTokens?: LoginDetails['sealTokens']
  /** Default: the watch of the reply. */
  watch?: ReplyWatch
}

/** Opens the session of a login and returns the body of the reply. */
export type LogIn = (request: AnyRequest, reply: AnyReply, details: LogInDetails) => Promise<LogInAnswer>

/** The operations on sessions that a login needs. */
interface LogInSessions {
  newBudget(): TimeBudget
  create(user: User, details: LoginDetails): Promise<CreatedSession>
  find(id: string, budget: TimeBudget): Promise<Session | null>
  end(id: string, by: 'login', budget: TimeBudget): Promise<unknown>
  endLater(id: string, reason: EndReason, until: number): void
}

/** Dependencies of {@link createLogIn}. */
export interface LogInDeps {
  sessions: LogInSessions
  transport: TokenTransport
  accessTokens: Pick<AccessTokens, 'findSession'>
  errorReplies: ErrorReplies
}

/** The session that the request's token names, live or not. */
interface NamedSession {
  id: string
  /** The absolute expiry, in epoch milliseconds. */
  expiresAt: number
}

/**
 * Creates the function behind the login route and `app.sessions.login()`. A login ends the session of the request's
 * token (session fixation, OWASP ASVS 7.2.4). The new session is revoked when the reply does not reach the client.
 */
export function createLogIn({ sessions, transport, accessTokens, errorReplies }: LogInDeps): LogIn {
  /** Never rejects: without an acknowledgment of the store in time, the end is retried after the login. */
  async function endOtherUsers({ id, expiresAt }: NamedSession, budget: TimeBudget): Promise<void> {
    try {
      await sessions.end(id, 'login', budget)
    } catch {
      sessions.endLater(id, 'logged_in_again', expiresAt)
    }
  }

  return async (request, reply, { user, data, ttlSeconds, sealTokens, watch = watchReply(reply) }) => {
    transport.checkLogin(request)
    if (watch.isGone) throw new ClientGoneError()
    const budget = sessions.newBudget()
    const previous = findTokenSession(request, { transport, accessTokens })
    const sameUsers = previous !== null && isSameUser(previous.id, user.id) ? previous : null
    const otherUsers = sameUsers === null ? previous : null
    const inherited = sameUsers && data === undefined ? await sessions.find(sameUsers.id, budget) : null
    const { token, session } = await sessions.create(user, {
      ip: request.ip,
      userAgent: request.headers['user-agent'],
      maxTokenLength: transport.maxTokenLengthFor(request),
      data,
      inheritedData: inherited?.data,
      ttlSeconds,
      sealTokens,
      replaces: sameUsers?.id ?? null,
      startedAt: watch.startedAt,
      budget
    })
    const { id, expiresAt, createdAt } = session
    const undo = () => sessions.endLater(id, 'revoked', expiresAt)
    // A login without a reply must not end the session of another user.
    if (otherUsers !== null && !watch.isGone) await endOtherUsers(otherUsers, budget)
    if (watch.isGone) {
      undo()
      throw new ClientGoneError()
    }
    watch.undoUnlessSent(undo)
    reply.header('cache-control', 'no-store')
    exposeDate(reply)
    // The new user of a shared browser must not find the data of the previous user.
    if (otherUsers !== null) errorReplies.setClearSiteData(request, reply)
    const expiresIn = (expiresAt - createdAt) / 1_000
    const fields = transport.write(request, reply, { token, expiresIn })
    return Object.assign(fields, { expires_in: expiresIn, user: session.user })
  }
}

/** Whether the session belongs to the user: a session id starts with the tag of its user. */
function isSameUser(sessionId: string, userId: string): boolean {
  return sessionTag(sessionId) === userTag(userId)
}
