import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { errorAnswers } from '../schemas.js'
import type { Session } from '../session.js'
import { readBearerToken } from '../verify-session.js'
import { callUpstream, createUpstreamContext } from './call-upstream.js'
import { presentedClaims } from './presented-claims.js'
import type { RouteParts } from './route-parts.js'

/** `POST /user/logout`: ends the session that the request came with. Without one there is nothing to do, which is fine. */
export function mountLogout(
  scope: FastifyInstance,
  { path }: { path: string },
  { upstream, accessTokens, sessions, answers }: RouteParts
): void {
  const response = {
    204: Type.Null({ description: 'There is no session any more' }),
    ...errorAnswers(400, 413, 415, 503)
  }

  scope.post(path, { schema: { summary: 'Log out', response } }, async (request, reply) => {
    const presented = presentedClaims(request, accessTokens)
    if (presented !== null) {
      const session = upstream.logout && (await sessions.find(presented.sessionId))
      await sessions.revoke(presented.sessionId)
      if (session) await tellUpstream(session)
    }
    // A page of another site can send this request, though never with a token: it must not empty the user's stores.
    const isForged = readBearerToken(request) === null && request.headers['sec-fetch-site'] === 'cross-site'
    if (!isForged) answers.setClearSignal(reply, 'logged_out')
    reply.code(204)

    async function tellUpstream(session: Session): Promise<void> {
      const context = createUpstreamContext(request, reply)
      try {
        await callUpstream(context, async () => upstream.logout?.(session, context))
      } catch (error) {
        request.log.warn({ code: (error as { code?: string }).code }, 'The upstream was not told of a logout')
      }
    }
  })
}
