import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { SessionNotFoundError } from '../errors.js'
import { waitedMsOf } from '../guard/request-session.js'
import { errorAnswers, nullable, time, toIsoTime } from '../http/schemas.js'
import type { Route } from '../options/resolve-routes.js'
import type { RouteParts } from './route-deps.js'

const sessionSchema = Type.Object({
  id: Type.String({ description: 'For `DELETE`' }),
  created_at: time('The login'),
  last_seen_at: time('The last use, to a tenth of the idle timeout'),
  expires_at: time('The session ends at the latest'),
  ip: nullable(Type.String({ description: 'Where the login came from' })),
  user_agent: nullable(Type.String({ description: 'What the login came with, as the client wrote it' })),
  current: Type.Boolean({ description: 'Whether it is the session of this request' })
})

/** `GET`, `DELETE` and `DELETE /:id` of `/user/sessions`: a user sees and ends his own sessions, and nobody else's. */
export function mountSessions(scope: FastifyInstance, { path }: Route, { sessions, verifySession }: RouteParts): void {
  const ended = Type.Null({ description: 'They have ended' })
  const list = Type.Array(sessionSchema, { description: 'The live sessions of the user, the oldest first' })

  scope.get(
    path,
    {
      schema: { summary: 'My sessions', response: { 200: list, ...errorAnswers(401, 503) } },
      preHandler: verifySession
    },
    async ({ session: current }) => {
      const found = await sessions.within(waitedMsOf(current)).list(current.user.id)
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
      schema: { summary: 'End my other sessions', response: { 204: ended, ...errorAnswers(400, 401, 413, 415, 503) } },
      preHandler: verifySession
    },
    async ({ session: current }, reply) => {
      await sessions.within(waitedMsOf(current)).revokeAll(current.user.id, { exceptId: current.id })
      reply.code(204)
    }
  )

  scope.delete(
    `${path.replace(/\/$/, '')}/:id`,
    {
      schema: {
        summary: 'End one of my sessions',
        params: Type.Object({ id: Type.String() }),
        response: { 204: ended, ...errorAnswers(400, 401, 404, 413, 415, 503) }
      },
      preHandler: verifySession
    },
    async ({ session: current, params }, reply) => {
      const { id } = params as { id: string }
      const shared = sessions.within(waitedMsOf(current))
      const found = await shared.find(id)
      if (found?.user.id !== current.user.id) throw new SessionNotFoundError()
      await shared.revoke(id)
      reply.code(204)
    }
  )
}
