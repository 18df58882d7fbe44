import type { FastifyInstance, FastifyReply, FastifyRequest, FastifySchema } from 'fastify'
import { Type } from 'typebox'
import { settingsOfQuery } from '../guard/query-settings.js'
import { createVerify } from '../guard/verify-session.js'
import { originalRequestOf } from '../http/original-request.js'
import { errorResponses } from '../http/schemas.js'
import type { Route } from '../options/resolve-routes.js'
import { crossSiteStatus } from './check-origin.js'
import type { RouteDeps } from './route-deps.js'

const querystring = Type.Object({
  fresh_seconds: Type.Optional(Type.Integer({ minimum: 1, description: 'Maximum age of the login' })),
  slide: Type.Optional(Type.Boolean({ description: 'Whether the request extends the session. Default true' })),
  optional: Type.Optional(Type.Boolean({ description: 'Whether a request without credentials is let through' }))
})

/**
 * `/user/verify`, all methods, for a proxy that asks before it forwards a request: 204 with the user, or the refusal of
 * the guard. The settings come from the query, which the configuration of the proxy has.
 */
export function mountVerify(scope: FastifyInstance, { path, config }: Route, deps: RouteDeps): void {
  const { options, transport, identityTokens } = deps
  const verify = createVerify({
    ...deps,
    transport: { readChecked: (request) => transport.readChecked(originalRequestOf(request)) },
    settingsOf: settingsOfQuery
  })

  async function handler({ session }: FastifyRequest, reply: FastifyReply): Promise<void> {
    reply.code(204)
    // With `optional`, a request without credentials.
    if (session === null) return
    const token = identityTokens?.sign(session)
    // A header has no other characters than these of ASCII. A user id is well-formed Unicode, and cannot throw.
    reply.header('session-user', encodeURIComponent(session.user.id))
    if (token !== undefined) reply.header('session-token', token)
  }

  const ok = Type.Null({ description: 'The session is live: `Session-User` has the id, percent-encoded' })
  const schema = {
    summary: 'Verify a request, for a proxy',
    querystring,
    response: { 204: ok, ...errorResponses(400, 401, ...crossSiteStatus(options), 503) },
    ...options.routes.security
  }
  const hooks = {
    onRequest: addType,
    // Not by name: the scope's own guard leaves this route to the settings of the query.
    preHandler: async (request: FastifyRequest, reply: FastifyReply) => verify(request, reply),
    onSend: closeAfterBody
  }
  // The schema of the query is documentation: settingsOfQuery() names the field to the operator.
  const route = { config, handler, validatorCompiler: () => () => true, ...hooks }
  scope.get(path, { ...route, schema, exposeHeadRoute: false })
  const others = scope.supportedMethods.filter((method) => method !== 'GET')
  scope.route({ ...route, url: path, method: others, schema: UNDOCUMENTED })
}

/** For @fastify/swagger: the route is documented once. */
const UNDOCUMENTED: FastifySchema & { hide: true } = { hide: true }

/** Fastify refuses a QUERY without a type (RFC 10008 2), also where the type is of no interest. */
async function addType(request: FastifyRequest): Promise<void> {
  if (request.method === 'QUERY') request.headers = { ...request.headers, 'content-type': 'application/octet-stream' }
}

/**
 * Closes the connection after a request that announces a body. nginx may announce the body of the client without sending
 * the body: on an open connection the next request would be taken for the body.
 */
async function closeAfterBody({ raw }: FastifyRequest, reply: FastifyReply): Promise<void> {
  const { 'content-length': length = '0', 'transfer-encoding': encoding } = raw.headers
  const hasBody = length !== '0' || encoding !== undefined
  if (hasBody && raw.httpVersionMajor === 1) reply.header('connection', 'close')
}
