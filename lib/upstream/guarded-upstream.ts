import type { IncomingHttpHeaders } from 'node:http'
import { ClientGoneError, isUpstreamError, UpstreamTimeoutError, UpstreamUnavailableError } from '../errors.js'
import { ALWAYS_PRESENT, type ClientPresence } from '../http/client-presence.js'
import { AbortableCall } from '../internal/abortable-call.js'
import type { Breaker, Circuit, Outcome, SettleCall } from '../internal/circuit-breaker.js'
import { PlainCause } from '../internal/redact-error.js'
import type { Session } from '../model/session.js'
import type { Refresh } from './refresh.js'
import { NotSentError } from './request-body.js'
import { toUpstreamError } from './to-upstream-error.js'
import type { UpstreamCall, UpstreamClient, UpstreamLogin, UpstreamOperation } from './upstream-client.js'

/** The client's request behind a call to the upstream. */
export interface UpstreamRequest {
  headers: IncomingHttpHeaders
  ip: string
  /** The call is aborted when the client has gone. */
  presence: ClientPresence
}

/** Timeout and circuit breakers of the upstream. */
export interface UpstreamGuards {
  /** Milliseconds per call. */
  timeoutMs: number
  /** For logins and registrations. */
  breaker: Breaker
  /** For logouts, separately: an upstream without a response to logouts may still respond to logins. */
  logoutBreaker: Breaker
  /** For refreshes of tokens, separately like logouts. */
  refreshBreaker: Breaker
}

/** An upstream client that may exchange a refresh token for new tokens. */
export interface RefreshingClient {
  client: UpstreamClient
  refresh?: Refresh | undefined
}

interface GuardedCall {
  operation: UpstreamOperation
  breaker: Breaker
  request: UpstreamRequest
}

/**
 * The upstream for the routes: an {@link UpstreamClient} with a timeout and a circuit breaker.
 *
 * Each method throws:
 * - `ClientGoneError`: the client has gone, and no response is needed.
 * - `UpstreamError`: the error reply for the client. Other errors of the upstream client become `UpstreamInvalidError`.
 */
export class GuardedUpstream {
  readonly #client: UpstreamClient
  readonly #guards: UpstreamGuards
  /** Absent when the upstream client has no `register()`. */
  readonly register?: (registration: unknown, request: UpstreamRequest) => Promise<{ user: unknown }>
  /** Absent when the upstream client has no `logout()`. */
  readonly logout?: (session: Session, request: UpstreamRequest) => Promise<unknown>
  /** Exchanges a refresh token, for all requests with the session. Absent when tokens are not refreshed. */
  readonly refresh?: (refreshToken: string) => Promise<unknown>

  constructor({ client, refresh }: RefreshingClient, guards: UpstreamGuards) {
    this.#client = client
    this.#guards = guards
    const { breaker, logoutBreaker, refreshBreaker } = guards
    const { register, logout } = client
    if (register !== undefined) {
      this.register = (registration, request) =>
        this.#run({ operation: 'register', breaker, request }, (call) => register.call(client, registration, call))
    }
    if (logout !== undefined) {
      this.logout = (session, request) =>
        this.#run({ operation: 'logout', breaker: logoutBreaker, request }, (call) =>
          logout.call(client, session, call)
        )
    }
    if (refresh !== undefined) {
      const guarded = { operation: 'refresh', breaker: refreshBreaker, request: NO_REQUEST } as const
      this.refresh = (refreshToken) => this.#run(guarded, (call) => refresh(refreshToken, call))
    }
  }

  /** The circuit of logins and registrations; calls in flight with logouts and refreshes. */
  get circuit(): Circuit {
    const { breaker, logoutBreaker, refreshBreaker } = this.#guards
    return { isOpen: breaker.isOpen, inFlight: breaker.inFlight + logoutBreaker.inFlight + refreshBreaker.inFlight }
  }

  /** Resolves when the upstream has accepted the credentials. */
  login(credentials: unknown, request: UpstreamRequest): Promise<UpstreamLogin> {
    const { breaker } = this.#guards
    return this.#run({ operation: 'login', breaker, request }, (call) => this.#client.login(credentials, call))
  }

  async #run<T>({ operation, breaker, request }: GuardedCall, run: (call: UpstreamCall) => Promise<T>): Promise<T> {
    const { presence } = request
    if (presence.isGone) throw new ClientGoneError()
    const settle = admit(breaker)
    const call = new AbortableCall(this.#guards.timeoutMs)
    presence.onGone(() => call.abort(() => new ClientGoneError()))
    try {
      const result = await call.run(() => run(new CallContext(request, call)))
      settle('response')
      if (!presence.isGone) return result
    } catch (thrown) {
      const isLate = call.hasTimedOut && !isRejection(thrown)
      const error = isLate ? createTimeout(operation) : thrown
      settle(presence.isGone ? 'abandoned' : outcomeOf(error))
      if (presence.isGone) throw new ClientGoneError()
      throw toUpstreamError(operation, error instanceof NotSentError ? error.reason : error)
    }
    throw new ClientGoneError()
  }
}

/** @throws {UpstreamUnavailableError} the circuit breaker has not admitted the call */
function admit(breaker: Breaker): SettleCall {
  try {
    return breaker.admit()
  } catch (error) {
    throw new UpstreamUnavailableError(error)
  }
}

function createTimeout(operation: UpstreamOperation): UpstreamTimeoutError {
  return new UpstreamTimeoutError(new PlainCause(`${operation}: the upstream did not answer in time`))
}

/** A class: with the getter in an object literal V8 gives every call a hidden class, and a login costs 3 % more. */
class CallContext implements UpstreamCall {
  readonly headers: IncomingHttpHeaders
  readonly ip: string
  readonly #call: AbortableCall

  constructor({ headers, ip }: Pick<UpstreamRequest, 'headers' | 'ip'>, call: AbortableCall) {
    this.headers = headers
    this.ip = ip
    this.#call = call
  }

  get signal(): AbortSignal {
    return this.#call.signal
  }

  onAbort(listener: (reason: Error) => void): void {
    this.#call.onAbort(listener)
  }

  waitUntil(work: Promise<unknown>): void {
    this.#call.waitUntil(work)
  }
}

/** A refresh is for several requests, and continues when the client of the first request has gone. */
const NO_REQUEST: UpstreamRequest = { headers: {}, ip: '', presence: ALWAYS_PRESENT }

/** A rejection counts even after the timeout: the upstream has responded, and only the rest of the body was late. */
function isRejection(error: unknown): boolean {
  return isUpstreamError(error) && error.statusCode < 500
}

/** Rejections and invalid responses are responses. Failures are timeouts and failed connections. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof NotSentError) return 'abandoned'
  if (!isUpstreamError(error)) return isConnectionError(error) ? 'failure' : 'response'
  if (error.code === 'FST_JWT_SESSION_UPSTREAM_TIMEOUT') return 'failure'
  return error.code === 'FST_JWT_SESSION_UPSTREAM_INVALID' && isConnectionError(error.cause) ? 'failure' : 'response'
}

function isConnectionError(error: unknown): boolean {
  return typeof error === 'object' && error !== null && 'code' in error && CONNECTION_ERRORS.has(String(error.code))
}

/** Codes of Node.js and undici for a connection that failed or broke. */
const CONNECTION_ERRORS = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EPIPE',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_SOCKET'
])
