import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { errorResponses, nullable, timeSchema, toIsoTime } from '../http/schemas.js'
import type { Route } from '../options/resolve-routes.js'
import type { RouteDeps } from './route-deps.js'

/** `GET /user/session`: the user, the login time and the expiry. The request does not extend the session. */
export function mountCurrentSession(scope: FastifyInstance, { path, config }: Route, deps: RouteDeps): void {
  const { options, verifySession, lifetimes } = deps
  const ok = Type.Object(
    {
      user: options.userSchema,
      created_at: timeSchema('The login'),
      expires_at: timeSchema('Absolute expiry'),
      idle_expires_at: nullable(timeSchema('Expiry without further activity; null without an idle timeout'))
    },
    { description: 'The session' }
  )
  const response = { 200: ok, ...errorResponses(401, 503) }
  const schema = { summary: 'Who is logged in, and until when', response, ...options.routes.security }

  scope.get(path, { schema, config, preHandler: verifySession }, async ({ session }) => {
    const idleExpiry = lifetimes.idleExpiryOf(session, Date.now())
    return {
      user: session.user,
      created_at: toIsoTime(session.createdAt),
      expires_at: toIsoTime(session.expiresAt),
      idle_expires_at: idleExpiry === null ? null : toIsoTime(idleExpiry)
    }
  })
}
