import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { errorAnswers } from '../http/schemas.js'
import type { Session } from '../model/session.js'
import type { Route } from '../options/resolve-routes.js'
import { readBearerToken } from '../token/transport.js'
import { toUpstreamError } from '../upstream/to-upstream-error.js'
import { presentedSessionId } from './presented-session.js'
import type { RouteParts } from './route-deps.js'

/** `POST /user/logout`: ends the session that the request came with. Without one there is nothing to do, which is fine. */
export function mountLogout(
  scope: FastifyInstance,
  { path }: Route,
  { upstream, accessTokens, sessions, answers }: RouteParts
): void {
  const response = {
    204: Type.Null({ description: 'There is no session any more' }),
    ...errorAnswers(400, 413, 415, 503)
  }

  /** Also when the client has gone meanwhile: a page that logs out often leaves at once. */
  async function tellUpstream({ headers, ip, log }: FastifyRequest, session: Session): Promise<void> {
    try {
      await upstream.logout?.(session, { headers, ip, signal: new AbortController().signal })
    } catch (error) {
      log.warn({ code: toUpstreamError(error).code }, 'The upstream was not told of a logout')
    }
  }

  scope.post(path, { schema: { summary: 'Log out', response } }, async (request, reply) => {
    const { headers } = request
    const id = presentedSessionId(request, accessTokens)
    if (id !== null) {
      // Both at once, and in this order on one connection: one deadline, one round trip.
      const [session] = await Promise.all([upstream.logout ? sessions.find(id) : null, sessions.end(id, 'logged_out')])
      if (session !== null) await tellUpstream(request, session)
    }
    // A page of another site can send this request, though never with a token: it must not empty the user's stores.
    const isForged = readBearerToken(headers.authorization) === null && headers['sec-fetch-site'] === 'cross-site'
    if (!isForged) answers.setClearSignal(reply, 'logged_out')
    reply.code(204)
  })
}
