import { toJson } from '../internal/json.js'
import { type ErrorBody, JwtSessionError } from './base-error.js'

const IS_UPSTREAM_ERROR = Symbol.for('fastify-jwt-session.upstream-error')

/** An `UpstreamError` cannot be constructed: the status is no error status, or `details` cannot be sent. */
export class InvalidAnswerError extends JwtSessionError {
  /** @param rule completes the sentence "The reply to an error of the upstream must have …" without the value */
  constructor(rule: string) {
    super('FST_JWT_SESSION_INVALID_ANSWER', 500, `The reply to an error of the upstream must have ${rule}`)
  }
}

/**
 * The base class of errors by which an `UpstreamClient`, `mapError` or `selectUser` decides the reply: status, code,
 * message, `headers`, and the body from `toJSON()`. Any other error that these functions throw is a 502.
 *
 * @example
 * class SecondFactorNeeded extends UpstreamError {
 *   constructor() {
 *     super('MY_SECOND_FACTOR_NEEDED', 401, 'A second factor is needed')
 *   }
 * }
 */
export abstract class UpstreamError extends JwtSessionError {
  /**
   * @param statusCode an integer from 400 to 599
   * @param cause for the log; the message of a foreign error is dropped
   * @throws {InvalidAnswerError} the status is out of range
   */
  constructor(code: string, statusCode: number, message: string, cause?: unknown) {
    super(code, statusCode, message, cause)
    if (!Number.isInteger(statusCode) || statusCode < 400 || statusCode > 599) {
      throw new InvalidAnswerError('a status from 400 to 599')
    }
  }

  /** For {@link isUpstreamError}. */
  get [IS_UPSTREAM_ERROR](): true {
    return true
  }
}

/** Whether the value is an {@link UpstreamError} of this package, or of another copy of this package. */
export function isUpstreamError(error: unknown): error is UpstreamError {
  return error instanceof Error && IS_UPSTREAM_ERROR in error
}

/**
 * The upstream rejected the credentials, or `revokeAll()` ended all sessions of the user since the login began. The
 * reply gives no cause, so that accounts cannot be enumerated (OWASP ASVS 6.3.8).
 */
export class CredentialsRejectedError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_CREDENTIALS_REJECTED', 401, 'The credentials were rejected', cause)
  }
}

/** Options of a {@link RegistrationRejectedError}. */
export interface RegistrationRejection {
  /** Sent as `details` in the body: any JSON value of at most 4 096 bytes. Default: none. */
  details?: unknown
  /** For the log; the message of a foreign error is dropped. Default: none. */
  cause?: unknown
}

const MAX_DETAILS_BYTES = 4_096

/** The upstream rejected a registration: 400 malformed, 409 taken, 422 not acceptable. */
export class RegistrationRejectedError extends UpstreamError {
  /** A copy of the details, as sent; undefined: none. */
  readonly details: unknown

  /** @throws {InvalidAnswerError} `details` is no JSON value, or longer than 4 096 bytes */
  constructor(statusCode: 400 | 409 | 422, { details, cause }: RegistrationRejection = {}) {
    super('FST_JWT_SESSION_REGISTRATION_REJECTED', statusCode, 'The registration was rejected', cause)
    this.details = copyDetails(details)
  }

  override toJSON(): ErrorBody {
    const { details } = this
    return details === undefined ? super.toJSON() : Object.assign(super.toJSON(), { details })
  }
}

/** @throws {InvalidAnswerError} */
function copyDetails(details: unknown): unknown {
  if (details === undefined) return undefined
  const json = toJson(details)
  if (json === undefined || Buffer.byteLength(json) > MAX_DETAILS_BYTES) {
    throw new InvalidAnswerError(`\`details\` of JSON, at most ${MAX_DETAILS_BYTES} bytes`)
  }
  return JSON.parse(json)
}

/** The upstream limits the rate of requests (429). */
export class UpstreamBusyError extends UpstreamError {
  override readonly headers: Readonly<Record<string, string>>
  /** The value of the `Retry-After` header: seconds or an HTTP date. Any other value is dropped. */
  readonly retryAfter: string | undefined

  constructor(retryAfter?: string, cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_BUSY', 429, 'Too many requests', cause)
    this.retryAfter = retryAfter !== undefined && isRetryAfter(retryAfter) ? retryAfter : undefined
    this.headers = this.retryAfter === undefined ? {} : { 'retry-after': this.retryAfter }
  }
}

/** Whether the value is whole seconds, or a date in the form that servers must write (RFC 9110 5.6.7). */
function isRetryAfter(value: string): boolean {
  return /^\d{1,9}$/.test(value) || new Date(value).toUTCString() === value
}

/** The upstream could not be reached, or its response is invalid. */
export class UpstreamInvalidError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_INVALID', 502, 'The upstream gave no valid response', cause)
  }
}

/** The upstream responded 503, or its circuit breaker is open. */
export class UpstreamUnavailableError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_UNAVAILABLE', 503, 'The upstream is unavailable', cause)
  }
}

/** The upstream did not respond within `timeoutMs`. */
export class UpstreamTimeoutError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_TIMEOUT', 504, 'The upstream did not respond in time', cause)
  }
}
