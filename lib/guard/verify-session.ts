import { observeLoading, startVerification } from '../diagnostics/verification.js'
import { isJwtSessionError, NotRegisteredError, SessionMissingError, SessionNotFreshError } from '../errors.js'
import type { AnyReply, AnyRequest, ErrorReplies } from '../http/error-reply.js'
import type { TokenTransport } from '../token/transport.js'
import type { Authentication } from './authenticate.js'
import { createGuard, type Verify } from './create-guard.js'
import { createRequestSession, type RequestSessionDeps } from './request-session.js'
import type { ResolvedRouteSettings } from './route-settings.js'

/** Dependencies of {@link createVerify}. */
export interface GuardDeps extends RequestSessionDeps {
  transport: Pick<TokenTransport, 'readChecked'>
  authentication: Authentication
  errorReplies: ErrorReplies
  /**
   * The settings for a request.
   * @throws {JwtSessionError} invalid settings
   */
  settingsOf(request: AnyRequest): ResolvedRouteSettings
}

/**
 * Creates the verification behind the guard. The verification sends error replies, so that no error handler removes the
 * clear signal or changes the body; the rejection follows after the response.
 */
export function createVerify(guardDeps: GuardDeps): Verify {
  const { transport, authentication, sessions, watched, custody, errorReplies, settingsOf } = guardDeps
  const deps = { sessions, watched, custody }

  /** Returns a promise only to wait for the store. */
  function admit(request: AnyRequest, reply: AnyReply): Promise<void> | 'cached' | 'not_verified' {
    const settings = settingsOf(request)
    if (settings.isPublic) return 'not_verified'
    const token = transport.readChecked(request)
    if (token === null) {
      if (settings.optional) return 'not_verified'
      throw new SessionMissingError()
    }
    const cached = authentication.findCached(token, settings)
    if (cached === undefined) return load(token, settings, reply)
    request.session = createRequestSession(deps, cached, { reply, budget: null })
    return 'cached'
  }

  async function load(token: string, settings: ResolvedRouteSettings, reply: AnyReply): Promise<void> {
    const budget = sessions.newBudget()
    const session = await authentication.load(token, settings, budget)
    reply.request.session = createRequestSession(deps, session, { reply, budget })
  }

  const rejected = new WeakSet<AnyRequest>()

  async function reject(request: AnyRequest, reply: AnyReply, error: unknown): Promise<never> {
    if (isJwtSessionError(error)) {
      // Two concurrent calls of the guard send one error reply.
      if (!rejected.has(request)) errorReplies.send(request, reply, error)
      rejected.add(request)
      await reply
    }
    throw error
  }

  return (request, reply) => {
    const verification = startVerification(request)
    try {
      const admitted = admit(request, reply)
      if (typeof admitted !== 'string') {
        return observeLoading(verification, admitted).catch((error) => reject(request, reply, error))
      }
      if (admitted === 'cached') verification?.succeed({ cached: true })
      return undefined
    } catch (error) {
      // Without a call of the store, only a cached session is refused for the age of its login.
      verification?.fail(error, { cached: error instanceof SessionNotFreshError })
      return reject(request, reply, error)
    }
  }
}

/**
 * Decorator with the verification of a scope, for the imported guard. A registered symbol: copies of this package share
 * the key.
 */
export const VERIFY: unique symbol = Symbol.for('fastify-jwt-session.verify')

/**
 * The guard without an `app`, for a route file that is loaded before the plugin is registered. The registration in the
 * scope of the route applies; without a registration the guard fails at the first request, with a `NotRegisteredError`.
 */
export const verifySession = createGuard((request, reply) => {
  const { [VERIFY]: verify = rejectUnregistered } = request.server as { [VERIFY]?: Verify }
  return verify(request, reply)
})

function rejectUnregistered(): Promise<never> {
  return Promise.reject(new NotRegisteredError())
}
