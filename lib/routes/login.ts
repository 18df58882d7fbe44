import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { ClientGoneError, UpstreamInvalidError } from '../errors.js'
import { errorAnswers } from '../http/schemas.js'
import type { BodyRoute } from '../options/resolve-routes.js'
import { callUpstream, createUpstreamContext } from './call-upstream.js'
import { presentedSessionId } from './presented-session.js'
import type { RouteParts } from './route-deps.js'

/** `POST /user/login`: asks the upstream, ends the session that the request came with, and opens a new one. */
export function mountLogin(
  scope: FastifyInstance,
  { path, schema }: BodyRoute,
  {
    options: {
      session: { ttlSeconds },
      userSchema
    },
    upstream,
    users,
    accessTokens,
    sessions
  }: RouteParts
): void {
  const ok = Type.Object(
    {
      access_token: Type.String({ description: 'Send it as `Authorization: Bearer <token>`' }),
      token_type: Type.Literal('Bearer'),
      expires_in: Type.Integer({ description: 'Seconds until the session ends' }),
      user: userSchema
    },
    { description: 'The session is open' }
  )
  const response = { 200: ok, ...errorAnswers(400, 401, 409, 413, 415, 429, 502, 503, 504) }

  scope.post(path, { schema: { summary: 'Log in', body: schema, response } }, async (request, reply) => {
    const context = createUpstreamContext(request, reply)
    const user = users.parse(await callUpstream(context, () => upstream.login(request.body, context)))
    if (user === null) throw new UpstreamInvalidError()

    const presented = presentedSessionId(request, accessTokens)
    const shared = sessions.within(0)
    if (presented !== null) await shared.end(presented, 'replaced')

    const { token, session } = await shared.create(user, detailsOf(request))
    if (context.signal.aborted) {
      await sessions.revoke(session.id)
      throw new ClientGoneError()
    }
    return { access_token: token, token_type: 'Bearer', expires_in: ttlSeconds, user: session.user }
  })
}

function detailsOf({ ip, headers }: FastifyRequest) {
  return { ip, userAgent: headers['user-agent'] }
}
