import type { FastifyInstance, FastifyReply } from 'fastify'
import { Type } from 'typebox'
import { budgetOf } from '../guard/request-session.js'
import { exposeDate } from '../http/error-reply.js'
import { errorResponses, nullable, timeSchema, toIsoTime } from '../http/schemas.js'
import type { Lifetimes } from '../model/lifetime.js'
import type { Session } from '../model/session.js'
import type { Route } from '../options/resolve-routes.js'
import { crossSiteStatus } from './check-origin.js'
import type { RouteDeps } from './route-deps.js'

/**
 * `GET /user/session`: the user, the login time and the expiry, without an extension of the session. `POST` of the same
 * path, for a button "stay logged in", extends the session first, and answers 503 when the store has not written that.
 */
export function mountCurrentSession(scope: FastifyInstance, { path, config }: Route, deps: RouteDeps): void {
  const { options, verifySession, lifetimes, sessions } = deps
  const ok = Type.Object(
    {
      user: options.userSchema,
      created_at: timeSchema('The login'),
      expires_at: timeSchema('Absolute expiry'),
      idle_expires_at: nullable(timeSchema('Expiry without further activity; null without an idle timeout'))
    },
    { description: 'The session' }
  )
  const { security } = options.routes
  const ofGet = { summary: 'Who is logged in, and until when', response: { 200: ok, ...errorResponses(401, 503) } }
  const ofPost = {
    summary: 'Stay logged in',
    response: { 200: ok, ...errorResponses(401, ...crossSiteStatus(options), 503) }
  }

  function answer(reply: FastifyReply, session: Session) {
    exposeDate(reply)
    return { user: session.user, created_at: toIsoTime(session.createdAt), ...expiryOf(session, lifetimes) }
  }

  const get = { schema: { ...ofGet, ...security }, config, preHandler: verifySession }
  scope.get(path, get, async ({ session }, reply) => answer(reply, session))

  // A page asks for an extension also when the login is old.
  const extending = { ...config, session: { slide: false } }
  const post = { schema: { ...ofPost, ...security }, config: extending, preHandler: verifySession }
  scope.post(path, post, async ({ session }, reply) => {
    const extended = await sessions.extend(session.id, budgetOf(session))
    reply.code(200)
    return answer(reply, extended)
  })
}

/** The times at which the session ends, for pages. */
export function expiryOf(
  session: Session,
  lifetimes: Lifetimes
): { expires_at: string; idle_expires_at: string | null } {
  const idleExpiry = lifetimes.idleExpiryOf(session, Date.now())
  return {
    expires_at: toIsoTime(session.expiresAt),
    idle_expires_at: idleExpiry === null ? null : toIsoTime(idleExpiry)
  }
}
