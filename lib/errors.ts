import { STATUS_CODES } from 'node:http'
import { CHALLENGE, type ErrorBody, JwtSessionError } from './errors/base-error.js'
import { redisReplyOf, withoutDetails } from './internal/redact-error.js'

export { isJwtSessionError, JwtSessionError } from './errors/base-error.js'
export {
  CredentialsRejectedError,
  InvalidAnswerError,
  isUpstreamError,
  RegistrationRejectedError,
  type RegistrationRejection,
  UpstreamBusyError,
  UpstreamError,
  UpstreamInvalidError,
  UpstreamTimeoutError,
  UpstreamUnavailableError
} from './errors/upstream-errors.js'

/**
 * Why a session has ended; sent as `reason` in the body, and in the `Session-Ended` header. `logged_in_again`, a login with
 * the token of the session, is sent in the body only: the browser is in use by the login that came after.
 */
export type SessionEndReason =
  | 'invalid_token'
  | 'expired'
  | 'logged_out'
  | 'revoked'
  | 'replaced'
  | 'logged_in_again'
  | 'unknown'

const INVALID_TOKEN = `${CHALLENGE}, error="invalid_token"`

// The developer

/** An option is wrong, unknown or contradicts another; thrown by `register()`. */
export class InvalidOptionError extends JwtSessionError {
  /** The option's path, such as `jwt.secret`. */
  readonly option: string

  /** @param rule completes the sentence "The `option` option …" and never repeats the value */
  constructor(option: string, rule: string, cause?: unknown) {
    super('FST_JWT_SESSION_INVALID_OPTION', 500, `The \`${option}\` option ${rule}`, cause)
    this.option = option
  }
}

/** `request.session` belongs to another plugin, or this scope has the plugin already. */
export class AlreadyDecoratedError extends JwtSessionError {
  constructor(name: string) {
    super(
      'FST_JWT_SESSION_ALREADY_DECORATED',
      500,
      `\`${name}\` is taken in this scope: by @fastify/session, or by a second registration of fastify-jwt-session. ` +
        'Register each in a scope of its own.'
    )
  }
}

/** The imported `verifySession` guards a route in whose scope the plugin was never registered. */
export class NotRegisteredError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_NOT_REGISTERED', 500, 'fastify-jwt-session is not registered in the scope of this route')
  }
}

/** A method of `app.sessions` was given a user that does not match `userSchema`, or no user id. */
export class InvalidUserError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_INVALID_USER', 500, 'The user does not match `userSchema`, or its `id` is not a string')
  }
}

/** The `data` of a session would be no JSON object, or longer than `session.maxDataBytes`. */
export class InvalidDataError extends JwtSessionError {
  /** @param maxBytes of JSON */
  constructor(maxBytes: number) {
    super(
      'FST_JWT_SESSION_INVALID_DATA',
      500,
      `The data of a session must be a JSON object of at most ${maxBytes} bytes`
    )
  }
}

/** `jwt.claims` threw, gave something that is not a JSON object, or made the token longer than 8 KB. */
export class InvalidClaimsError extends JwtSessionError {
  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_INVALID_CLAIMS', 500, '`jwt.claims` must return a JSON object of a few KB at most', cause)
  }
}

// The client

/** A body that is refused, with the code that Fastify has for it (`FST_ERR_…`: 400, 413, 415), and no stack trace. */
export class InvalidBodyError extends JwtSessionError {
  /** @param message by default the words of the status: those of older versions of Fastify quote the client */
  constructor(code: string, statusCode: number, message = `${STATUS_CODES[statusCode]}`) {
    super(code, statusCode, message)
  }
}

/** The client hung up before the answer was ready. It is not received, but logged. */
export class ClientGoneError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_CLIENT_GONE', 400, 'The client has gone')
  }
}

/** The request has no bearer token. */
export class SessionMissingError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_MISSING', 401, 'Authentication is required')
  }
}

/**
 * A token was sent and there is no session behind it. The only error that carries the clear signal, unless its reason is
 * `logged_in_again`.
 */
export class SessionEndedError extends JwtSessionError {
  override readonly headers = { 'www-authenticate': INVALID_TOKEN }
  readonly reason: SessionEndReason

  constructor(reason: SessionEndReason) {
    super('FST_JWT_SESSION_ENDED', 401, 'The session has ended')
    this.reason = reason
  }

  override toJSON(): ErrorBody {
    return { ...super.toJSON(), reason: this.reason }
  }
}

/**
 * The token is signed by this application and its session is stored, but not in a way that this instance can use: the
 * record is corrupt or of a release too far from this one, or its user no longer fits `userSchema`. No evidence of an end,
 * and so without the clear signal. Another login replaces the record, a logout ends it.
 */
export class LoginNeededError extends JwtSessionError {
  override readonly headers = { 'www-authenticate': INVALID_TOKEN }

  constructor() {
    super('FST_JWT_SESSION_LOGIN_NEEDED', 401, 'The session cannot be used, and a new login is needed')
  }
}

/** The login behind the session is longer ago than the route's `freshSeconds`. The session goes on. */
export class SessionNotFreshError extends JwtSessionError {
  override readonly headers: Readonly<Record<string, string>>
  /** The limit of the route, in seconds. */
  readonly freshSeconds: number

  constructor(freshSeconds: number) {
    super('FST_JWT_SESSION_NOT_FRESH', 401, 'This needs a more recent login')
    this.freshSeconds = freshSeconds
    const challenge = `${CHALLENGE}, error="insufficient_user_authentication", max_age="${freshSeconds}"`
    // RFC 9470 3
    this.headers = { 'www-authenticate': challenge }
  }
}

/** The user has `session.maxPerUser` live sessions, and `session.onMaxPerUser` is `'reject'`. */
export class SessionLimitReachedError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_LIMIT_REACHED', 409, 'The user has too many sessions')
  }
}

/** The user has no live session with this id. The same for the session of another user. */
export class SessionNotFoundError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_NOT_FOUND', 404, 'There is no such session')
  }
}

// The store

/** The session store could not be asked or told. Says nothing about the session: never a reason to log a user out. */
export class StoreUnavailableError extends JwtSessionError {
  override readonly headers = { 'retry-after': '1' }

  /** @param atStart the address, if the store is Redis: an error that fails the start has it and the cause in its message */
  constructor(cause?: unknown, atStart?: { address: string | undefined }) {
    const where = atStart?.address === undefined ? '' : ` at ${atStart.address}`
    const why = atStart === undefined ? '' : `: ${redisReplyOf(cause) ?? withoutDetails(cause).message}`
    super('FST_JWT_SESSION_STORE_UNAVAILABLE', 503, `The session store${where} is unavailable${why}`, cause)
  }
}
