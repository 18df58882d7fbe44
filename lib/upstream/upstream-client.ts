import type { IncomingHttpHeaders } from 'node:http'
import type { Session, SessionData } from '../model/session.js'

/** The request that made the plugin call the upstream. */
export interface UpstreamContext {
  /** Aborted when the client has gone, or `timeoutMs` has passed: the result would not be used. */
  readonly signal: AbortSignal
  /** The client's headers as Node parsed them. Pass on what you know, never all of them. */
  readonly headers: IncomingHttpHeaders
  /** `request.ip` */
  readonly ip: string
}

/** What a call is for. */
export type UpstreamOperation = 'login' | 'register' | 'logout'

/** The context as the plugin makes it. */
export interface UpstreamCall extends UpstreamContext {
  /** Work that goes on after the call, such as reading away a body: the signal is aborted at the deadline of the call. */
  waitUntil(work: Promise<unknown>): void
}

/** What a login resolves to. */
export interface UpstreamLogin {
  /** The user. What does not fit `userSchema` is answered 502; fields that the schema does not have are dropped. */
  user: unknown
  /** The application's own `data` of the new session, which is not sent to the client. Default: none. */
  data?: SessionData | undefined
}

/**
 * The upstream: the API that knows the users. Implement it yourself when yours is not JSON over HTTP.
 *
 * What it throws is answered as the table of errors says when it is an `UpstreamError` of this package, such as
 * `CredentialsRejectedError`, `RegistrationRejectedError` or `UpstreamTimeoutError`, or a subclass of yours, and 502
 * otherwise.
 */
export interface UpstreamClient {
  /** Resolves when the credentials, the body of the login as its schema let it through, are good. */
  login(credentials: unknown, context: UpstreamContext): Promise<UpstreamLogin>
  /** Resolves to the new user, or as much of it as is known. Leave it out and there is no registration route. */
  register?(registration: unknown, context: UpstreamContext): Promise<{ user: unknown }>
  /**
   * Notified once the session has ended, and before that is answered. A failure is logged, and the user is logged out all
   * the same. The call goes on when the client has gone meanwhile.
   */
  logout?(session: Session, context: UpstreamContext): Promise<unknown>
  /**
   * Milliseconds that each call may take, 1 to 2 147 483 647; then its signal is aborted, and the answer is 504, whatever
   * becomes of the call. Default 5 000.
   */
  timeoutMs?: number | undefined
}
