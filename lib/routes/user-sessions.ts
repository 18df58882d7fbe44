import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { SessionNotFoundError } from '../errors.js'
import { budgetOf } from '../guard/request-session.js'
import { errorResponses, nullable, timeSchema, toIsoTime } from '../http/schemas.js'
import type { Session } from '../model/session.js'
import type { Route } from '../options/resolve-routes.js'
import { crossSiteStatus } from './check-origin.js'
import type { RouteDeps } from './route-deps.js'

const sessionSchema = Type.Object({
  id: Type.String({ description: 'For `DELETE`' }),
  created_at: timeSchema('The login'),
  last_seen_at: timeSchema('The last activity, to a tenth of the idle timeout'),
  expires_at: timeSchema('Absolute expiry'),
  ip: nullable(Type.String({ description: 'IP address of the login' })),
  user_agent: nullable(Type.String({ description: '`User-Agent` of the login' })),
  current: Type.Boolean({ description: "Whether this is the request's session" })
})

/** `GET`, `DELETE` and `DELETE /:id` of `/user/sessions`: a user's access to the user's own sessions. */
export function mountUserSessions(scope: FastifyInstance, route: Route, deps: RouteDeps): void {
  mountList(scope, route, deps)
  mountEndOthers(scope, route, deps)
  mountEndOne(scope, route, deps)
}

function mountList(scope: FastifyInstance, { path, config }: Route, deps: RouteDeps): void {
  const { options, sessions, verifySession } = deps
  const list = Type.Array(sessionSchema, { description: 'The live sessions of the user, the oldest first' })
  const response = { 200: list, ...errorResponses(401, 503) }
  const schema = { summary: 'My sessions', response, ...options.routes.security }

  scope.get(path, { schema, config, preHandler: verifySession }, async ({ session: current }) => {
    const found = await sessions.list(current.user.id, budgetOf(current))
    return found.map((session) => Object.assign(toBody(session), { current: session.id === current.id }))
  })
}

function toBody({ id, createdAt, lastSeenAt, expiresAt, ip, userAgent }: Session) {
  return {
    id,
    created_at: toIsoTime(createdAt),
    last_seen_at: toIsoTime(lastSeenAt),
    expires_at: toIsoTime(expiresAt),
    ip,
    user_agent: userAgent
  }
}

function mountEndOthers(scope: FastifyInstance, { path, config }: Route, deps: RouteDeps): void {
  const { options, sessions, verifySession } = deps
  const ended = Type.Null({ description: 'The other sessions have ended' })
  const response = { 204: ended, ...errorResponses(401, ...crossSiteStatus(options), 503) }
  const schema = { summary: 'End my other sessions', response, ...options.routes.security }

  scope.delete(path, { schema, config, preHandler: verifySession }, async ({ session: current }, reply) => {
    await sessions.revokeAll(current.user.id, { by: 'list', exceptId: current.id, budget: budgetOf(current) })
    reply.code(204)
  })
}

function mountEndOne(scope: FastifyInstance, { path, config }: Route, deps: RouteDeps): void {
  const { options, sessions, verifySession } = deps
  const ended = Type.Null({ description: 'The session has ended' })
  const schema = {
    summary: 'End one of my sessions',
    params: Type.Object({ id: Type.String() }),
    response: { 204: ended, ...errorResponses(401, ...crossSiteStatus(options), 404, 503) },
    ...options.routes.security
  }

  scope.delete<{ Params: { id: string } }>(
    `${path.replace(/\/$/, '')}/:id`,
    { schema, config, preHandler: verifySession },
    async ({ session: current, params: { id } }, reply) => {
      const budget = budgetOf(current)
      const found = await sessions.find(id, budget)
      if (found?.user.id !== current.user.id) throw new SessionNotFoundError()
      await sessions.end(id, 'list', budget)
      reply.code(204)
    }
  )
}
