import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { errorAnswers, nullable, time, toIsoTime } from '../http/schemas.js'
import type { Route } from '../options/resolve-routes.js'
import type { RouteDeps } from './route-deps.js'

/** `GET /user/session`: who is logged in, and until when. Looking does not extend the session. */
export function mountCurrentSession(scope: FastifyInstance, { path, config }: Route, parts: RouteDeps): void {
  const { verifySession, lifetimes } = parts
  const ok = Type.Object(
    {
      user: parts.options.userSchema,
      created_at: time('The login'),
      expires_at: time('The session ends at the latest'),
      idle_expires_at: nullable(time('The session ends unless it is in use; null when there is no idle timeout'))
    },
    { description: 'The session' }
  )
  const response = { 200: ok, ...errorAnswers(401, 503) }
  const schema = { summary: 'Who is logged in, and until when', response, ...parts.options.routes.security }

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
