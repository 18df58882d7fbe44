import type { FastifyInstance } from 'fastify'
import { type TObject, type TSchema, Type } from 'typebox'
import { attemptOf, startAttempt } from '../diagnostics/attempt.js'
import { registrations } from '../diagnostics/channels.js'
import { replyOnce, watchFromStart } from '../http/client-presence.js'
import { errorResponses } from '../http/schemas.js'
import type { BodyRoute } from '../options/resolve-routes.js'
import { checkOrigin, crossSiteStatus } from './check-origin.js'
import type { RouteDeps } from './route-deps.js'

/**
 * `POST /user/register`: sends the registration to the upstream, without opening a session. After success of the
 * upstream the user exists, and the response is 201 even without valid user fields: after an error, a client would
 * register again.
 */
export function mountRegister(
  scope: FastifyInstance,
  { path, config, schema }: BodyRoute,
  { options, upstream, users, transport }: RouteDeps
): void {
  const created = Type.Object({ user: partialSchemaOf(options.userSchema) }, { description: 'The user exists now' })
  const errors = errorResponses(400, ...crossSiteStatus(options), 409, 413, 415, 422, 429, 502, 503, 504)
  const response = { 201: created, ...errors }

  const onRequest = [watchFromStart, startAttempt(registrations), checkOrigin(transport)]
  const route = { config, onRequest, schema: { summary: 'Register', body: schema, response } }
  scope.post(path, route, (request, reply) =>
    replyOnce(reply, async (presence) => {
      const { headers, ip, body } = request
      const registered = await upstream?.register?.(body, { headers, ip, presence })
      const user = users.parseFields(registered?.user)
      const attempt = attemptOf(request)
      attempt?.accept(user.id)
      attempt?.succeed()
      reply.code(201)
      return { user }
    })
  )
}

/** Makes each field optional, and removes `default`: the serializer would add a missing field with the default. */
function partialSchemaOf({ required: _required, ...schema }: TObject): TSchema {
  const properties = Object.entries<object>(schema.properties).map(([name, field]) => {
    const { default: _default, ...rest } = { default: undefined, ...field }
    return [name, rest]
  })
  return { ...schema, properties: Object.fromEntries(properties) }
}
