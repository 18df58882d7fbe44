import { UpstreamUnavailableError } from '../errors.js'
import { type Breaker, BreakerError, type Outcome } from '../internal/circuit-breaker.js'
import { toUpstreamError } from './to-upstream-error.js'
import type { UpstreamClient, UpstreamContext } from './upstream-client.js'

/**
 * The upstream as the routes see it: a call while it does not answer, or while too many calls wait for it, is rejected at
 * once with an {@link UpstreamUnavailableError}.
 */
export function createGuardedUpstream(upstream: UpstreamClient, breaker: Breaker): UpstreamClient {
  async function ask(call: () => Promise<unknown>, { signal }: UpstreamContext): Promise<unknown> {
    try {
      return await breaker.run(call, (error) => (signal.aborted ? 'abandoned' : outcomeOf(error)))
    } catch (error) {
      throw error instanceof BreakerError ? new UpstreamUnavailableError(error) : error
    }
  }

  return {
    login: (credentials, context) => ask(() => upstream.login(credentials, context), context),
    ...(upstream.register && {
      register: (registration, context) => ask(async () => upstream.register?.(registration, context), context)
    }),
    ...(upstream.logout && {
      logout: (session, context) => ask(async () => upstream.logout?.(session, context), context)
    })
  }
}

/** A refusal is a response, and so is nonsense: only silence and a connection that cannot be had are failures. */
function outcomeOf(error: unknown): Outcome {
  const reason = toUpstreamError(error)
  if (reason.code === 'FST_JWT_SESSION_UPSTREAM_TIMEOUT') return 'failure'
  const { code } = (reason.cause ?? {}) as { code?: string }
  const isUnreachable = reason.code === 'FST_JWT_SESSION_UPSTREAM_INVALID' && UNREACHABLE.includes(String(code))
  return isUnreachable ? 'failure' : 'response'
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
