import { isJwtSessionError, NotRegisteredError, SessionMissingError } from '../errors.js'
import type { AnyReply, AnyRequest, ErrorReplies } from '../http/error-reply.js'
import { readToken } from '../token/transport.js'
import type { Authentication } from './authenticate.js'
import { createGuard, type GuardCall, type VerifySession } from './create-guard.js'
import { nameGuard } from './guard-hooks.js'
import { createRequestSession, type SessionUpdater } from './request-session.js'
import { type ResolvedRouteSettings, settingsOf } from './route-settings.js'

/** What {@link createVerifySession} is made of. */
export interface GuardDeps {
  authentication: Authentication
  sessions: SessionUpdater
  errorReplies: ErrorReplies
}

/**
 * The guard. It answers a refused request itself, so that no error handler can lose the clear signal or reword the
 * body, and waits until the answer is out before it fails.
 */
export function createVerifySession({ authentication, sessions, errorReplies }: GuardDeps): VerifySession {
  /** A promise only where there is something to wait for. */
  function admit(request: AnyRequest): Promise<void> | undefined {
    const settings = settingsOf(request)
    if (settings.isPublic) return
    const token = readToken(request)
    if (token === null) {
      if (settings.optional) return
      throw new SessionMissingError()
    }
    const cached = authentication.findCached(token, settings)
    if (cached === undefined) return load(request, token, settings)
    request.session = createRequestSession(sessions, cached.session, null)
  }

  async function load(request: AnyRequest, token: string, settings: ResolvedRouteSettings): Promise<void> {
    const budget = sessions.newBudget()
    const { session } = await authentication.load(token, settings, budget)
    request.session = createRequestSession(sessions, session, budget)
  }

  const refused = new WeakSet<AnyRequest>()

  async function refuse(request: AnyRequest, reply: AnyReply, error: unknown): Promise<never> {
    if (isJwtSessionError(error)) {
      // A guard that was called twice, and not awaited, answers once.
      if (!refused.has(request)) errorReplies.send(request, reply, error)
      refused.add(request)
      await reply
    }
    throw error
  }

  return createGuard((request, reply) => {
    try {
      return admit(request)?.catch((error) => refuse(request, reply, error))
    } catch (error) {
      return refuse(request, reply, error)
    }
  })
}

const notRegistered = createGuard(() => Promise.reject(new NotRegisteredError()))

/**
 * The same guard without an `app` at hand: for a route file that is loaded before the plugin is registered. It uses the
 * registration in whose scope the route is. Without one it fails at the first request, with a `NotRegisteredError`.
 */
export const verifySession = nameGuard(((request, reply, done) => {
  const { [GUARD]: guard = notRegistered } = request.server as { [GUARD]?: VerifySession }
  return (guard as GuardCall)(request, reply, done)
}) satisfies GuardCall as VerifySession)

/** Where the imported guard finds the guard of a scope. Registered, so that another copy of this package finds it too. */
export const GUARD = Symbol.for('fastify-jwt-session.guard')
