import type { AccessTokens } from './access-token.js'
import type { Answers, AnyReply, AnyRequest } from './answers.js'
import { JwtSessionError, NotRegisteredError, SessionMissingError } from './errors.js'
import { createRequestSession } from './request-session.js'
import { checkRouteSettings, type SessionRouteSettings } from './route-settings.js'
import type { InternalSessions } from './sessions.js'

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
  accessTokens: AccessTokens,
  sessions: InternalSessions,
  answers: Answers
): VerifySession {
  return async function verifySession(request, reply) {
    const settings = settingsOf(request)
    try {
      const token = readBearerToken(request)
      if (token === null && settings.optional) return
      if (token === null) throw new SessionMissingError()
      request.session = createRequestSession(sessions, await sessions.verify(accessTokens.verify(token), settings))
    } catch (error) {
      if (error instanceof JwtSessionError) await answers.sendError(request, reply, error)
      throw error
    }
  }
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
export const verifySession: VerifySession = async (request, reply) => {
  const { [GUARD]: guard } = request.server as { [GUARD]?: VerifySession }
  if (guard === undefined) throw new NotRegisteredError()
  return guard(request, reply)
}

/** Where a scope keeps its guard for the imported one: under no name that anything else could decorate. */
export const GUARD = Symbol('fastify-jwt-session guard')

/** The token of `Authorization: Bearer <token>`, or null when the header is missing, empty or of another scheme. */
export function readBearerToken(request: AnyRequest): string | null {
  return BEARER.exec(request.headers.authorization ?? '')?.[1] ?? null
}

const BEARER = /^bearer +([^ ].*)$/i
