import { toJson } from '../internal/json.js'
import { type ErrorBody, JwtSessionError } from './base-error.js'

const IS_OF_UPSTREAM = Symbol.for('fastify-jwt-session.upstream-error')

/** What an error of the upstream cannot be made of: its status is no error's, or its `details` cannot be sent. */
export class InvalidAnswerError extends JwtSessionError {
  /** @param rule completes the sentence "The answer for an error of the upstream must have …" and never repeats the value */
  constructor(rule: string) {
    super('FST_JWT_SESSION_INVALID_ANSWER', 500, `The answer for an error of the upstream must have ${rule}`)
  }
}

/**
 * What an `UpstreamClient`, `mapError` and `selectUser` may throw to decide the answer: its status, code, message and
 * `headers`, and the body that `toJSON()` makes. Any other error that they throw is a 502.
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
   * @param cause for the log, without its message if it is not an error of this package
   * @throws {InvalidAnswerError} the status is another
   */
  constructor(code: string, statusCode: number, message: string, cause?: unknown) {
    super(code, statusCode, message, cause)
    if (!Number.isInteger(statusCode) || statusCode < 400 || statusCode > 599) {
      throw new InvalidAnswerError('a status from 400 to 599')
    }
  }

  /** Recognizes the errors that may decide the answer, see {@link isUpstreamError}. */
  get [IS_OF_UPSTREAM](): true {
    return true
  }
}

/** Whether this is an {@link UpstreamError}, or that of another copy of this package. */
export function isUpstreamError(error: unknown): error is UpstreamError {
  return error instanceof Error && IS_OF_UPSTREAM in error
}

/**
 * The upstream did not accept the credentials, or `revokeAll()` has ended all sessions of the user since the login began.
 * Says nothing about why, on purpose (OWASP ASVS 6.3.8).
 */
export class CredentialsRejectedError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_CREDENTIALS_REJECTED', 401, 'The credentials were not accepted', cause)
  }
}

/** What is known of a rejected registration. */
export interface RegistrationRejection {
  /** Sent as `details` in the body: what JSON can hold, at most 4 096 bytes of it. Default: none. */
  details?: unknown
  /** For the log. */
  cause?: unknown
}

const MAX_DETAILS_BYTES = 4_096

/** The upstream did not accept a registration: 400 malformed, 409 taken, 422 not acceptable. */
export class RegistrationRejectedError extends UpstreamError {
  /** A copy of what was given, as it is sent; undefined for none. */
  readonly details: unknown

  /** @throws {InvalidAnswerError} the details are no JSON, or too long */
  constructor(statusCode: 400 | 409 | 422, { details, cause }: RegistrationRejection = {}) {
    super('FST_JWT_SESSION_REGISTRATION_REJECTED', statusCode, 'The registration was not accepted', cause)
    this.details = copyDetails(details)
  }

  override toJSON(): ErrorBody {
    const { details } = this
    return details === undefined ? super.toJSON() : { ...super.toJSON(), details }
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

/** The upstream asks to slow down. */
export class UpstreamBusyError extends UpstreamError {
  override readonly headers: Readonly<Record<string, string>>
  /** Seconds or an HTTP date, ready for a `Retry-After` header; anything else that is passed in is dropped. */
  readonly retryAfter: string | undefined

  constructor(retryAfter?: string, cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_BUSY', 429, 'Too many requests', cause)
    this.retryAfter = retryAfter !== undefined && isRetryAfter(retryAfter) ? retryAfter : undefined
    this.headers = this.retryAfter === undefined ? {} : { 'retry-after': this.retryAfter }
  }
}

/** Whole seconds, or a date in the one form that RFC 9110 5.6.7 lets a server write. */
function isRetryAfter(value: string): boolean {
  return /^\d{1,9}$/.test(value) || new Date(value).toUTCString() === value
}

/** The upstream could not be reached, or its answer is not one that can be trusted. */
export class UpstreamInvalidError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_INVALID', 502, 'The upstream gave no valid answer', cause)
  }
}

/** The upstream answers that it is down, or is not asked because it has not answered lately. */
export class UpstreamUnavailableError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_UNAVAILABLE', 503, 'The upstream is unavailable', cause)
  }
}

/** The upstream did not answer in time. */
export class UpstreamTimeoutError extends UpstreamError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_UPSTREAM_TIMEOUT', 504, 'The upstream did not answer in time', cause)
  }
}
