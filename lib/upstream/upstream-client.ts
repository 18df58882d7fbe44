import type { IncomingHttpHeaders } from 'node:http'
import type { Session, SessionData } from '../model/session.js'
import type { TokenCustodyOptions } from './token-options.js'
import type { UpstreamTokens } from './upstream-tokens.js'

/** The context of a call to the upstream. */
export interface UpstreamContext {
  /** Aborted when the client has gone, and after `timeoutMs`: the result is ignored from then on. */
  readonly signal: AbortSignal
  /** The headers of the client's request, as parsed by Node.js. Forward known headers only, never all headers. */
  readonly headers: IncomingHttpHeaders
  /** The `request.ip` of the client's request. */
  readonly ip: string
}

/** The purpose of a call to the upstream. */
export type UpstreamOperation = 'login' | 'register' | 'logout' | 'refresh'

/** The context of a call with internals of the plugin. */
export interface UpstreamCall extends UpstreamContext {
  /** Calls the only listener when `signal` is aborted. Reading `signal` creates a signal, which costs 20 µs. */
  onAbort(listener: (reason: Error) => void): void
  /** Adds work that may outlast the call, such as draining a body: the timeout of the call aborts the work too. */
  waitUntil(work: Promise<unknown>): void
}

/** The result of a login. */
export interface UpstreamLogin {
  /** The user. Fields outside `userSchema` are dropped; a user invalid under `userSchema` is answered 502. */
  user: unknown
  /** The application's `data` of the new session, never sent to the client. Default: none. */
  data?: SessionData | undefined
  /** The upstream's tokens, with the property `tokens` of the client only. Null, and the default: no tokens. */
  tokens?: UpstreamTokens | null | undefined
}

/**
 * The upstream: the API with the users and passwords. Implement the interface for an upstream without JSON over HTTP.
 *
 * A method rejects with an `UpstreamError`, such as `CredentialsRejectedError`, `RegistrationRejectedError`,
 * `UpstreamTimeoutError` or a subclass of the application, to decide the error reply. Another error is answered 502.
 */
export interface UpstreamClient {
  /** Resolves when the credentials are correct: the body of the login, validated by the schema of the route. */
  login(credentials: unknown, context: UpstreamContext): Promise<UpstreamLogin>
  /** Resolves to the new user, possibly with missing fields. Without `register()` there is no registration route. */
  register?(registration: unknown, context: UpstreamContext): Promise<{ user: unknown }>
  /**
   * Called after the session has ended, before the reply to the logout. A failure is logged, and the logout succeeds.
   * The call continues when the client has gone.
   */
  logout?(session: Session, context: UpstreamContext): Promise<unknown>
  /** Stores the `tokens` of a login, for `request.session.upstream`. Default: a login with tokens is answered 502. */
  readonly tokens?: TokenCustodyOptions | undefined
  /**
   * Milliseconds per call, 1 to 2 147 483 647. After the timeout the signal is aborted, the call is abandoned, and the
   * client's request is answered 504. Default 5 000.
   */
  timeoutMs?: number | undefined
}
