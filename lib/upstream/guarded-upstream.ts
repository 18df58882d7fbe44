import type { IncomingHttpHeaders } from 'node:http'
import { ClientGoneError, isUpstreamError, UpstreamTimeoutError, UpstreamUnavailableError } from '../errors.js'
import type { ClientPresence } from '../http/client-presence.js'
import { AbortableCall } from '../internal/abortable-call.js'
import { type Breaker, BreakerError, type Outcome } from '../internal/circuit-breaker.js'
import { PlainCause } from '../internal/redact-error.js'
import type { Session } from '../model/session.js'
import { NotSentError } from './request-body.js'
import { toUpstreamError } from './to-upstream-error.js'
import type { UpstreamCall, UpstreamClient, UpstreamLogin, UpstreamOperation } from './upstream-client.js'

/** The request that needs the upstream. */
export interface UpstreamRequest {
  headers: IncomingHttpHeaders
  ip: string
  /** A call whose client has gone is aborted. */
  presence: ClientPresence
}

/**
 * The upstream as the routes see it: each call has its deadline and its circuit breaker.
 *
 * @throws {ClientGoneError} no client waits for the result
 * @throws {UpstreamError} anything else that was thrown
 */
export interface GuardedUpstream {
  login(credentials: unknown, request: UpstreamRequest): Promise<UpstreamLogin>
  register?: ((registration: unknown, request: UpstreamRequest) => Promise<{ user: unknown }>) | undefined
  logout?: ((session: Session, request: UpstreamRequest) => Promise<unknown>) | undefined
}

/** How calls are guarded. */
export interface UpstreamGuards {
  /** Milliseconds that each call may take. */
  timeoutMs: number
  /** Of logins and registrations. */
  breaker: Breaker
  /** Of logouts: an upstream that does not respond to them may well respond to logins. */
  logoutBreaker: Breaker
}

/** A call by its operation. */
interface GuardedCall<T> {
  operation: UpstreamOperation
  breaker: Breaker
  request: UpstreamRequest
  run(call: UpstreamCall): Promise<T>
}

/**
 * Puts the guards around an upstream client.
 *
 * @param upstream called through what is returned, and by nothing else
 */
export function createGuardedUpstream(
  upstream: UpstreamClient,
  { timeoutMs, breaker, logoutBreaker }: UpstreamGuards
): GuardedUpstream {
  async function guard<T>({ operation, breaker, request, run }: GuardedCall<T>): Promise<T> {
    const { headers, ip, presence } = request
    if (presence.isGone) throw new ClientGoneError()

    async function attempt(): Promise<T> {
      const call = new AbortableCall(timeoutMs)
      presence.onGone(() => call.abort(new ClientGoneError()))
      const context = { headers, ip, signal: call.signal, waitUntil: (work: Promise<unknown>) => call.waitUntil(work) }
      try {
        return await call.run(() => run(context))
      } catch (error) {
        if (!call.hasTimedOut || isRefusal(error)) throw error
        throw new UpstreamTimeoutError(new PlainCause(`${operation}: the upstream did not answer in time`))
      }
    }

    try {
      const result = await breaker.run(attempt, (error) => (presence.isGone ? 'abandoned' : outcomeOf(error)))
      if (!presence.isGone) return result
    } catch (error) {
      if (presence.isGone) throw new ClientGoneError()
      if (error instanceof BreakerError) throw new UpstreamUnavailableError(error)
      throw toUpstreamError(operation, error instanceof NotSentError ? error.reason : error)
    }
    throw new ClientGoneError()
  }

  const { register, logout } = upstream
  return {
    login: (credentials, request) =>
      guard({ operation: 'login', breaker, request, run: (call) => upstream.login(credentials, call) }),
    register:
      register &&
      ((registration, request) =>
        guard({
          operation: 'register',
          breaker,
          request,
          run: (call) => register.call(upstream, registration, call)
        })),
    logout:
      logout &&
      ((session, request) =>
        guard({
          operation: 'logout',
          breaker: logoutBreaker,
          request,
          run: (call) => logout.call(upstream, session, call)
        }))
  }
}

/** What is more than a consequence of the abort: the upstream has refused, and only the rest of its answer was late. */
function isRefusal(error: unknown): boolean {
  return isUpstreamError(error) && error.statusCode < 500
}

/** A refusal is a response, and so is nonsense: only silence and a connection that cannot be had are failures. */
function outcomeOf(error: unknown): Outcome {
  if (error instanceof NotSentError) return 'abandoned'
  if (!isUpstreamError(error)) return isUnreachable(error) ? 'failure' : 'response'
  if (error.code === 'FST_JWT_SESSION_UPSTREAM_TIMEOUT') return 'failure'
  return error.code === 'FST_JWT_SESSION_UPSTREAM_INVALID' && isUnreachable(error.cause) ? 'failure' : 'response'
}

function isUnreachable(error: unknown): boolean {
  const { code } = (error ?? {}) as { code?: unknown }
  return UNREACHABLE.includes(String(code))
}

const UNREACHABLE = [
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
]
