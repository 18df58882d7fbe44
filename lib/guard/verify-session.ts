import { isJwtSessionError, NotRegisteredError, SessionMissingError } from '../errors.js'
import type { AnyReply, AnyRequest, ErrorReplies } from '../http/error-reply.js'
import { readBearerToken } from '../token/transport.js'
import type { Authentication } from './authenticate.js'
import { createRequestSession, type SessionUpdater } from './request-session.js'
import { checkRouteSettings, type SessionRouteSettings } from './route-settings.js'

/**
 * A preHandler: sets `request.session`, or answers the request and then rejects. The route's `config.session` changes what
 * it does: see {@link SessionRouteSettings}.
 *
 * @throws {SessionMissingError} no bearer token was sent
 * @throws {SessionEndedError} there is no session behind the token
 * @throws {LoginNeededError} the session is stored in a way that this release cannot use
 * @throws {SessionNotFreshError} the login was too long ago for the route
 * @throws {StoreUnavailableError} the store could not be asked
 */
export type VerifySession = (request: AnyRequest, reply: AnyReply) => Promise<void>

/** What {@link createVerifySession} is made of. */
export interface GuardParts {
  authentication: Authentication
  sessions: SessionUpdater
  errorReplies: ErrorReplies
}

/**
 * The guard. It answers a refused request itself, so that no error handler can lose the clear signal or reword the
 * body, waits until the answer is out, and then rejects: neither the route's handler nor code that calls the guard by
 * hand goes on behind a refusal.
 */
export function createVerifySession({ authentication, sessions, errorReplies }: GuardParts): VerifySession {
  /** A promise only where there is something to wait for. */
  function admit(request: AnyRequest): Promise<void> | undefined {
    const settings = settingsOf(request)
    const token = readBearerToken(request.headers.authorization)
    if (token === null) {
      if (settings.optional) return
      throw new SessionMissingError()
    }
    const cached = authentication.findCached(token, settings)
    if (cached === undefined) return load(request, token, settings)
    request.session = createRequestSession(sessions, cached.session, null)
  }

  async function load(request: AnyRequest, token: string, settings: SessionRouteSettings): Promise<void> {
    const budget = sessions.newBudget()
    const { session } = await authentication.load(token, settings, budget)
    request.session = createRequestSession(sessions, session, budget)
  }

  async function refuse(request: AnyRequest, reply: AnyReply, error: unknown): Promise<never> {
    if (isJwtSessionError(error)) await errorReplies.send(request, reply, error)
    throw error
  }

  function verifySession(request: AnyRequest, reply: AnyReply): Promise<void>
  /** As Fastify calls a hook: with nothing to wait for there is no promise, but a call of `done`. */
  function verifySession(request: AnyRequest, reply: AnyReply, done: () => void): Promise<void> | undefined
  function verifySession(request: AnyRequest, reply: AnyReply, done?: () => void): Promise<void> | undefined {
    let admitted: Promise<void> | undefined
    try {
      admitted = admit(request)
    } catch (error) {
      return refuse(request, reply, error)
    }
    if (admitted !== undefined) return admitted.catch((error) => refuse(request, reply, error))
    // A preParsing hook has the payload in its place.
    if (typeof done !== 'function') return Promise.resolve()
    done()
  }
  return verifySession
}

const DEFAULTS: SessionRouteSettings = {}
const checkedSettings = new WeakSet<SessionRouteSettings>([DEFAULTS])

/** Checked once: settings of a route that was there before the plugin have not been checked at its registration. */
function settingsOf(request: AnyRequest): SessionRouteSettings {
  const { session: settings = DEFAULTS } = request.routeOptions.config
  if (!checkedSettings.has(settings)) {
    checkRouteSettings(settings)
    checkedSettings.add(settings)
  }
  return settings
}

/**
 * The same guard without an `app` at hand: for a route file that is loaded before the plugin is registered. It uses the
 * registration in whose scope the route is.
 *
 * @throws {NotRegisteredError} at the first request, when there is none
 */
export const verifySession: VerifySession = (request, reply, ...done: []) => {
  const { [GUARD]: guard } = request.server as { [GUARD]?: VerifySession }
  return guard === undefined ? Promise.reject(new NotRegisteredError()) : guard(request, reply, ...done)
}

/** Where the imported guard finds the guard of a scope. Registered, so that another copy of this package finds it too. */
export const GUARD = Symbol.for('fastify-jwt-session.guard')
