import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { SessionNotFoundError } from '../errors.js'
import { budgetOf } from '../guard/request-session.js'
import { errorAnswers, nullable, time, toIsoTime } from '../http/schemas.js'
import type { Route } from '../options/resolve-routes.js'
import type { RouteDeps } from './route-deps.js'

const sessionSchema = Type.Object({
  id: Type.String({ description: 'For `DELETE`' }),
  created_at: time('The login'),
  last_seen_at: time('The last activity, to a tenth of the idle timeout'),
  expires_at: time('The session ends at the latest'),
  ip: nullable(Type.String({ description: 'Where the login came from' })),
  user_agent: nullable(Type.String({ description: 'What the login came with, as the client wrote it' })),
  current: Type.Boolean({ description: 'Whether it is the session of this request' })
})

/** `GET`, `DELETE` and `DELETE /:id` of `/user/sessions`: users see and end their own sessions only. */
export function mountUserSessions(scope: FastifyInstance, { path, config }: Route, parts: RouteDeps): void {
  const { sessions, verifySession } = parts
  const { security } = parts.options.routes
  const ended = Type.Null({ description: 'They have ended' })
  const list = Type.Array(sessionSchema, { description: 'The live sessions of the user, the oldest first' })

  scope.get(
    path,
    {
      schema: { summary: 'My sessions', response: { 200: list, ...errorAnswers(401, 503) }, ...security },
      config,
      preHandler: verifySession
    },
    async ({ session: current }) => {
      const found = await sessions.list(current.user.id, budgetOf(current))
      return found.map(({ id, createdAt, lastSeenAt, expiresAt, ip, userAgent }) => ({
        id,
        created_at: toIsoTime(createdAt),
        last_seen_at: toIsoTime(lastSeenAt),
        expires_at: toIsoTime(expiresAt),
        ip,
        user_agent: userAgent,
        current: id === current.id
      }))
    }
  )

  scope.delete(
    path,
    {
      schema: { summary: 'End my other sessions', response: { 204: ended, ...errorAnswers(401, 503) }, ...security },
      config,
      preHandler: verifySession
    },
    async ({ session: current }, reply) => {
      await sessions.revokeAll(current.user.id, current.id, budgetOf(current))
      reply.code(204)
    }
  )

  scope.delete(
    `${path.replace(/\/$/, '')}/:id`,
    {
      schema: {
        summary: 'End one of my sessions',
        params: Type.Object({ id: Type.String() }),
        response: { 204: ended, ...errorAnswers(401, 404, 503) },
        ...security
      },
      config,
      preHandler: verifySession
    },
    async ({ session: current, params }, reply) => {
      const { id } = params as { id: string }
      const budget = budgetOf(current)
      const found = await sessions.find(id, budget)
      if (found?.user.id !== current.user.id) throw new SessionNotFoundError()
      await sessions.end(id, 'revoked', budget)
      reply.code(204)
    }
  )
}
