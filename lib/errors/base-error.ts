import { STATUS_CODES } from 'node:http'
import { redactError } from '../internal/redact-error.js'

// Not `instanceof`: two copies of this package in one process have classes of their own, and answer each other's errors.
const IS_OURS = Symbol.for('fastify-jwt-session.error')

// RFC 6750 3: a request without credentials gets no error code.
/** The `WWW-Authenticate` header of a request without credentials. */
export const CHALLENGE = 'Bearer realm="session"'

/**
 * Every error this package throws. `code` and `statusCode` are stable; `message` is for people and may change.
 *
 * None of them can carry a secret into a log: there is no stack trace, and `cause` is what is left of a foreign error
 * once its message, stack and arguments are gone (ioredis keeps the command's arguments, undici the host).
 */
export abstract class JwtSessionError extends Error {
  /** `FST_JWT_SESSION_…` */
  readonly code: string
  /** The HTTP status of the answer. */
  readonly statusCode: number
  /** The headers of the answer that belong to the error: Fastify sends them too when a handler throws it. */
  readonly headers: Readonly<Record<string, string>>

  constructor(code: string, statusCode: number, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause: redactError(cause) })
    this.name = new.target.name
    this.code = code
    this.statusCode = statusCode
    this.headers = statusCode === 401 ? { 'www-authenticate': CHALLENGE } : {}
    this.stack = `${this.name}: ${message}`
  }

  /** Recognizes the errors of this package, see {@link isJwtSessionError}. */
  get [IS_OURS](): true {
    return true
  }

  /** The body of the answer. */
  toJSON(): ErrorBody {
    const { statusCode, code, message } = this
    return { statusCode, code, error: STATUS_CODES[statusCode], message }
  }
}

/** Whether this is an error of this package, or of another copy of it. */
export function isJwtSessionError(error: unknown): error is JwtSessionError {
  return error instanceof Error && IS_OURS in error
}

/** The body of an error: the fields of Fastify, and what a class of errors adds. */
export interface ErrorBody {
  statusCode: number
  code: string
  error: string | undefined
  message: string
  reason?: string
  /** Of a rejected registration, what the application has chosen to say. */
  details?: unknown
}
