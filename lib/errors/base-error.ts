import { STATUS_CODES } from 'node:http'
import { redactError } from '../internal/redact-error.js'
import { restoreStackTraces, stopStackTraces } from '../internal/stack-trace.js'

// `instanceof` fails between two copies of this package in one process, and each copy handles errors of the other.
const IS_JWT_SESSION_ERROR = Symbol.for('fastify-jwt-session.error')

/** The `WWW-Authenticate` header of a 401 without credentials: without an error code (RFC 6750 3). */
export const CHALLENGE = 'Bearer realm="session"'

/**
 * The base class of every error of this package. `code` and `statusCode` are stable; `message` is for people and may
 * change.
 *
 * No error carries a secret into a log: errors have no stack trace, and `cause` is a foreign error without its message,
 * stack and arguments (ioredis keeps the arguments of the command, undici the host).
 */
export abstract class JwtSessionError extends Error {
  /** Starts with `FST_JWT_SESSION_`, except in subclasses of an application. */
  readonly code: string
  /** The HTTP status of the reply. */
  readonly statusCode: number
  /** Headers of the reply, with names in lower case. Fastify sends the headers of any error that a handler throws. */
  readonly headers: Readonly<Record<string, string>>

  constructor(code: string, statusCode: number, message: string, cause?: unknown) {
    const options = cause === undefined ? undefined : { cause: redactError(cause) }
    const limit = stopStackTraces()
    super(message, options)
    restoreStackTraces(limit)
    this.name = new.target.name
    this.code = code
    this.statusCode = statusCode
    this.headers = statusCode === 401 ? { 'www-authenticate': CHALLENGE } : {}
    this.stack = `${this.name}: ${message}`
  }

  /** For {@link isJwtSessionError}. */
  get [IS_JWT_SESSION_ERROR](): true {
    return true
  }

  /** The body of the reply. */
  toJSON(): ErrorBody {
    const { statusCode, code, message } = this
    return { statusCode, code, error: STATUS_CODES[statusCode], message }
  }
}

/** Whether the value is an error of this package, or of another copy of this package. */
export function isJwtSessionError(error: unknown): error is JwtSessionError {
  return error instanceof Error && IS_JWT_SESSION_ERROR in error
}

/** The body of an error reply: the fields of Fastify, and the fields of some classes. */
export interface ErrorBody {
  statusCode: number
  code: string
  error: string | undefined
  message: string
  /** Why the session has ended. */
  reason?: string
  /** The application's details of a rejected registration. */
  details?: unknown
}
