import { JwtSessionError, NotRegisteredError, SessionMissingError } from '../errors.js'
import type { Answers, AnyReply, AnyRequest } from '../http/error-reply.js'
import type { KeptSession } from '../model/session-record.js'
import type { InternalSessions } from '../sessions.js'
import type { Verification } from './authenticate.js'
import { createRequestSession } from './request-session.js'
import { checkRouteSettings, type SessionRouteSettings } from './route-settings.js'

/**
 * A preHandler: sets `request.session`, or answers the request and then rejects. The route's `config.session` says what
 * it does besides: see {@link SessionRouteSettings}.
 *
 * @throws {SessionMissingError} no bearer token was sent
 * @throws {SessionEndedError} there is no session behind the token
 * @throws {SessionNotFreshError} the login is too long ago for the route
 * @throws {StoreUnavailableError} the store could not be asked
 */
export type VerifySession = (request: AnyRequest, reply: AnyReply) => Promise<void>

/**
 * The guard. It answers a refused request itself, so that no error handler can lose the clear signal or reword the
 * body, waits until the answer is out, and then rejects: neither the route's handler nor code that calls the guard by
 * hand goes on behind a refusal.
 */
export function createVerifySession(
  verification: Verification,
  sessions: Pick<InternalSessions, 'within'>,
  answers: Answers
): VerifySession {
  /** A promise only where there is something to wait for. */
  function admit(request: AnyRequest): Promise<void> | undefined {
    const settings = settingsOf(request)
    const verified = verification.verify(request.headers.authorization, settings)
    if (verified === null && settings.optional) return
    if (verified === null) throw new SessionMissingError()
    if (!(verified instanceof Promise)) return open(request, verified, 0)
    const askedAt = performance.now()
    return verified.then((kept) => open(request, kept, performance.now() - askedAt))
  }

  function open(request: AnyRequest, kept: KeptSession, waitedMs: number): undefined {
    request.session = createRequestSession(sessions, kept, waitedMs)
  }

  async function refuse(request: AnyRequest, reply: AnyReply, error: unknown): Promise<never> {
    if (error instanceof JwtSessionError) await answers.sendError(request, reply, error)
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

/** Checked once: those of a route that was there before the plugin have not been checked at its registration. */
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

/** Where a scope keeps its guard for the imported one: under no name that anything else could decorate. */
export const GUARD = Symbol('fastify-jwt-session guard')
