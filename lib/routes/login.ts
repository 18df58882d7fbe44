import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { ClientGoneError, UpstreamInvalidError } from '../errors.js'
import { errorAnswers } from '../http/schemas.js'
import type { TimeBudget } from '../internal/time-budget.js'
import type { Session } from '../model/session.js'
import { splitSessionId, userTag } from '../model/session-id.js'
import type { BodyRoute } from '../options/resolve-routes.js'
import { callUpstream, createUpstreamContext } from './call-upstream.js'
import { sessionOfToken } from './request-token.js'
import type { RouteParts } from './route-deps.js'

/** `POST /user/login`: asks the upstream, opens a session, and ends the session that the request came with. */
export function mountLogin(scope: FastifyInstance, { path, schema }: BodyRoute, parts: RouteParts): void {
  const { options, upstream, users, accessTokens, sessions, errorReplies } = parts
  const ok = Type.Object(
    {
      access_token: Type.String({ description: 'Send it as `Authorization: Bearer <token>`' }),
      token_type: Type.Literal('Bearer'),
      expires_in: Type.Integer({ description: 'Seconds until the session ends' }),
      user: options.userSchema
    },
    { description: 'The session is open' }
  )
  const response = { 200: ok, ...errorAnswers(400, 401, 409, 413, 415, 429, 502, 503, 504) }

  /** No client can use the session: its token is never sent. */
  function abandon({ id, expiresAt }: Session): never {
    sessions.endLater(id, 'revoked', expiresAt)
    throw new ClientGoneError()
  }

  /** The login is good all the same when the store does not acknowledge the end in time. */
  async function endOther({ id, expiresAt }: { id: string; expiresAt: number }, budget: TimeBudget): Promise<void> {
    try {
      await sessions.end(id, 'logged_in_again', budget)
    } catch {
      sessions.endLater(id, 'logged_in_again', expiresAt)
    }
  }

  scope.post(path, { schema: { summary: 'Log in', body: schema, response } }, async (request, reply) => {
    const startedAt = performance.now()
    const context = createUpstreamContext(request, reply)
    const user = users.parse(await callUpstream(context, () => upstream.login(request.body, context)))
    if (user === null) throw new UpstreamInvalidError()

    const previous = sessionOfToken(request, accessTokens)
    const isOwn = previous !== null && isSameUser(previous.id, user.id)
    const budget = sessions.newBudget()
    const { token, session } = await sessions.create(user, {
      ...detailsOf(request),
      ...{ replaces: isOwn ? previous.id : null, startedAt, budget }
    })
    const isOther = previous !== null && !isOwn
    // A login that is not answered ends nothing.
    if (isOther && !context.signal.aborted) await endOther(previous, budget)
    if (context.signal.aborted) abandon(session)
    // The next person at the browser must not find the data of the last person.
    if (isOther) errorReplies.setClearSiteData(request, reply)
    return {
      access_token: token,
      token_type: 'Bearer',
      expires_in: options.session.ttlSeconds,
      user: session.user
    }
  })
}

/** Whether the session is one of the user's. */
function isSameUser(sessionId: string, userId: string): boolean {
  return splitSessionId(sessionId)[0] === userTag(userId)
}

function detailsOf({ ip, headers }: FastifyRequest) {
  return { ip, userAgent: headers['user-agent'] }
}
