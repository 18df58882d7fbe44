import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import type { SealTokens } from '../custody/token-custody.js'
import { attemptOf, startAttempt } from '../diagnostics/attempt.js'
import { logins } from '../diagnostics/channels.js'
import { InvalidDataError, UpstreamInvalidError } from '../errors.js'
import { replyOnce, watchFromStart } from '../http/client-presence.js'
import { errorResponses } from '../http/schemas.js'
import { PlainCause } from '../internal/redact-error.js'
import type { BodyRoute } from '../options/resolve-routes.js'
import { checkOrigin, crossSiteStatus } from './check-origin.js'
import type { RouteDeps } from './route-deps.js'

/** `POST /user/login`: sends the credentials to the upstream and opens a session. */
export function mountLogin(scope: FastifyInstance, { path, config, schema }: BodyRoute, deps: RouteDeps): void {
  const { options, upstream, custody, users, logIn, transport } = deps
  const ok = transport.answerSchema({
    expires_in: Type.Integer({ description: 'Seconds until the absolute expiry' }),
    user: options.userSchema
  })
  const errors = errorResponses(400, 401, ...crossSiteStatus(options), 409, 413, 415, 429, 502, 503, 504)
  const response = { 200: ok, ...errors }

  const onRequest = [watchFromStart, startAttempt(logins), checkOrigin(transport)]
  const route = { config, onRequest, schema: { summary: 'Log in', body: schema, response } }
  scope.post(path, route, (request, reply) =>
    replyOnce(reply, async (watch) => {
      const { headers, ip, body } = request
      const attempt = attemptOf(request)
      const login = await upstream?.login(body, { headers, ip, presence: watch })
      const user = users.parse(login?.user)
      if (user === null) throw new UpstreamInvalidError(new PlainCause(`login: ${users.explain(login?.user)}`))
      attempt?.accept(user.id)
      const sealTokens = receiveTokens(custody, login?.tokens)
      const answer = await logIn(request, reply, { user, data: login?.data, sealTokens, watch }).catch(blameUpstream)
      // A hook of the host may have set another status in advance.
      if (reply.statusCode !== 200) reply.code(200)
      attempt?.succeed()
      return answer
    })
  )
}

/** @throws {UpstreamInvalidError} wrong tokens, or tokens that the upstream client has not announced */
function receiveTokens(custody: RouteDeps['custody'], tokens: unknown): SealTokens | undefined {
  if (custody !== null) return custody.receive(tokens)
  if (tokens === null || tokens === undefined) return undefined
  throw new UpstreamInvalidError(new PlainCause('login: there are `tokens`, and the upstream client has no `tokens`'))
}

/** Data that no session may have is the upstream's fault here: the application has passed no data of its own. */
function blameUpstream(error: unknown): never {
  throw error instanceof InvalidDataError ? new UpstreamInvalidError(new PlainCause(`login: ${error.message}`)) : error
}
