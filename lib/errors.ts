import { STATUS_CODES } from 'node:http'
import { CHALLENGE, type ErrorBody, JwtSessionError } from './errors/base-error.js'
import { redactError, redisReplyOf } from './internal/redact-error.js'

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
 * Why a session has ended; sent as `reason` in the body, and in the `Session-Ended` header. `logged_in_again` (a login
 * with the token of the session) is sent in the body only: the browser already has the next session.
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

// Configuration and use

/** An option is invalid, unknown or contradicts another option; thrown by `register()`. */
export class InvalidOptionError extends JwtSessionError {
  /** The option's path, such as `jwt.secret`. */
  readonly option: string

  /** @param rule completes the sentence "The `option` option …", never with the value */
  constructor(option: string, rule: string, cause?: unknown) {
    super('FST_JWT_SESSION_INVALID_OPTION', 500, `The \`${option}\` option ${rule}`, cause)
    this.option = option
  }
}

/** `request.session` belongs to another plugin, or the scope already has a registration. */
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

/** The imported `verifySession` guards a route in a scope without a registration of the plugin. */
export class NotRegisteredError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_NOT_REGISTERED', 500, 'fastify-jwt-session is not registered in the scope of this route')
  }
}

/** A user does not match `userSchema`, or a user id is not a valid string, in a call of `app.sessions`. */
export class InvalidUserError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_INVALID_USER', 500, 'The user does not match `userSchema`, or its `id` is not a string')
  }
}

/** The `data` of a session is not a JSON object, or longer than `session.maxDataBytes`. */
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

/**
 * `jwt.claims` threw, did not return a JSON object, or made the token longer than 8 KB, or than the 4,096 bytes of a
 * cookie with its name. `identity.claims` did the same, or returned a registered claim.
 */
export class InvalidClaimsError extends JwtSessionError {
  /** @param option the path of the function. Default: `jwt.claims` */
  constructor(cause?: unknown, option = 'jwt.claims') {
    super('FST_JWT_SESSION_INVALID_CLAIMS', 500, `\`${option}\` must return a JSON object of a few KB at most`, cause)
  }
}

// Requests

/** A rejected body, with the code and status of Fastify (`FST_ERR_…`: 400, 413, 415). */
export class InvalidBodyError extends JwtSessionError {
  /** @param message default: the status text, because messages of older Fastify versions quote the body */
  constructor(code: string, statusCode: number, message = `${STATUS_CODES[statusCode]}`) {
    super(code, statusCode, message)
  }
}

/** The proxy's configuration of the verify route has an unknown, repeated or invalid field in the query. */
export class InvalidQueryError extends JwtSessionError {
  /** @param rule completes the sentence "The query of the verify route …", never with what was sent */
  constructor(rule: string) {
    super('FST_JWT_SESSION_INVALID_QUERY', 400, `The query of the verify route ${rule}`)
  }
}

/** The client disconnected before the response. The error is logged only. */
export class ClientGoneError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_CLIENT_GONE', 400, 'The client has disconnected')
  }
}

/** The request has no token. */
export class SessionMissingError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_MISSING', 401, 'Authentication is required')
  }
}

/**
 * The request's token has no live session. The only error reply with the clear signal, except for the reason
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
    return Object.assign(super.toJSON(), { reason: this.reason })
  }
}

/**
 * The token is valid and the session is stored, but the record is unusable for this release: corrupt, of an unsupported
 * version, or with a user that does not match `userSchema`. Or the upstream's tokens of the session are missing, refused
 * or cannot be decrypted. Not an end, therefore without the clear signal. The next login replaces the record; a logout
 * ends the session.
 */
export class LoginNeededError extends JwtSessionError {
  override readonly headers = { 'www-authenticate': INVALID_TOKEN }

  constructor(cause?: unknown) {
    super('FST_JWT_SESSION_LOGIN_NEEDED', 401, 'The session cannot be used, and a new login is needed', cause)
  }
}

/**
 * With the option `cookie`: a write by the cookie, or a login, registration or logout, from a page of another origin
 * (CSRF). The session is neither used nor ended.
 */
export class CrossSiteError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_CROSS_SITE', 403, 'The request came from a page of another origin')
  }
}

/** The login is older than `freshSeconds` of the route. The session stays open. */
export class SessionNotFreshError extends JwtSessionError {
  override readonly headers: Readonly<Record<string, string>>
  /** Maximum age of the login, in seconds. */
  readonly freshSeconds: number

  constructor(freshSeconds: number) {
    super('FST_JWT_SESSION_NOT_FRESH', 401, 'A more recent login is required')
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

/** The user has no live session with this id; the session may belong to another user. */
export class SessionNotFoundError extends JwtSessionError {
  constructor() {
    super('FST_JWT_SESSION_NOT_FOUND', 404, 'The user has no session with this id')
  }
}

/** Too many event streams are open: of this user (429), or in this process (503). */
export class EventsFullError extends JwtSessionError {
  override readonly headers = { 'retry-after': '30' }

  constructor(statusCode: 429 | 503) {
    super('FST_JWT_SESSION_EVENTS_FULL', statusCode, 'Too many event streams are open')
  }
}

// The store

/** A call to the session store failed. The state of the session is unknown: never a reason for a logout. */
export class StoreUnavailableError extends JwtSessionError {
  override readonly headers = { 'retry-after': '1' }

  /** @param atStart for a failed start, which adds the address of Redis and the cause to the message */
  constructor(cause?: unknown, atStart?: { address: string | undefined }) {
    const address = atStart?.address === undefined ? '' : ` at ${atStart.address}`
    const reason = atStart === undefined ? '' : `: ${redisReplyOf(cause) ?? redactError(cause).message}`
    super('FST_JWT_SESSION_STORE_UNAVAILABLE', 503, `The session store${address} is unavailable${reason}`, cause)
  }
}
