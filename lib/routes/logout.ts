import type { FastifyInstance, FastifyRequest } from 'fastify'
import { Type } from 'typebox'
import { ALWAYS_PRESENT } from '../http/client-presence.js'
import { errorResponses } from '../http/schemas.js'
import { redactError } from '../internal/redact-error.js'
import { decodeRecord } from '../model/session-record.js'
import type { Route } from '../options/resolve-routes.js'
import type { StoredSession } from '../store/session-store.js'
import { findTokenSession } from '../token/find-token-session.js'
import { toUpstreamError } from '../upstream/to-upstream-error.js'
import { checkOrigin, crossSiteStatus } from './check-origin.js'
import type { RouteDeps } from './route-deps.js'

/** `POST /user/logout`: ends the session of the request's token. Without a session the response is 204 too. */
export function mountLogout(scope: FastifyInstance, { path, config }: Route, deps: RouteDeps): void {
  const { options, upstream, users, transport, accessTokens, sessions, errorReplies } = deps
  const ended = Type.Null({ description: 'The session has ended' })
  const response = { 204: ended, ...errorResponses(...crossSiteStatus(options), 503) }

  /** Notifies also after a disconnect: a page often navigates away right after the logout. */
  async function notifyUpstream({ headers, ip, log }: FastifyRequest, { id, record }: StoredSession): Promise<void> {
    const decoded = decodeRecord(id, record, users)
    // The logout succeeds without decoding the record.
    if (decoded === null) return log.error('The upstream was not notified of a logout: the session cannot be read')
    try {
      await upstream?.logout?.(decoded.session, { headers, ip, presence: ALWAYS_PRESENT })
    } catch (error) {
      const { code, cause } = toUpstreamError('logout', error)
      log.warn({ code, cause: redactError(cause).message }, 'The upstream was not notified of a logout')
    }
  }

  const route = { config, onRequest: checkOrigin(transport), schema: { summary: 'Log out', response } }
  scope.post(path, route, async (request, reply) => {
    const session = findTokenSession(request, { transport, accessTokens })
    const ended = session && (await sessions.end(session.id, 'logout'))
    if (ended !== null && upstream?.logout !== undefined) await notifyUpstream(request, ended)
    transport.clear(reply)
    errorReplies.setClearSignal(request, reply, 'logged_out')
    reply.code(204)
  })
}
