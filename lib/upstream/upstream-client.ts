import type { IncomingHttpHeaders } from 'node:http'
import type { Session } from '../model/session.js'

/** The request that made the plugin call the upstream. */
export interface UpstreamContext {
  /** Aborted when the client has gone: the answer would not be sent. */
  readonly signal: AbortSignal
  /** The client's headers as Node parsed them. Pass on what you know, never all of them. */
  readonly headers: IncomingHttpHeaders
  /** `request.ip` */
  readonly ip: string
}

/**
 * The API that knows the users. Implement it yourself when yours is not JSON over HTTP, and bound the time it takes.
 *
 * What it resolves to is taken apart by `userSchema`; a value that does not fit is answered 502. What it throws is
 * answered as the table of errors says when it is an `UpstreamError` of this package, such as `CredentialsRejectedError`,
 * `RegistrationRejectedError` or `UpstreamTimeoutError`, and 502 otherwise.
 */
export interface UpstreamClient {
  /** Resolves to the user when the credentials, the body of the login as the schema let it through, are good. */
  login(credentials: unknown, context: UpstreamContext): Promise<unknown>
  /** Resolves to the new user. Leave it out and there is no registration route. */
  register?(registration: unknown, context: UpstreamContext): Promise<unknown>
  /**
   * Told once the session has ended, and before that is answered. A failure is logged, and the user is logged out all the
   * same. Its signal is never aborted: the upstream is told also when the client has gone meanwhile.
   */
  logout?(session: Session, context: UpstreamContext): Promise<unknown>
}
