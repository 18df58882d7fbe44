import type { FastifyInstance } from 'fastify'
import { type TObject, type TSchema, Type } from 'typebox'
import { answerOnce } from '../http/client-presence.js'
import { errorAnswers } from '../http/schemas.js'
import type { BodyRoute } from '../options/resolve-routes.js'
import type { RouteDeps } from './route-deps.js'

/**
 * `POST /user/register`: hands the registration to the upstream. It opens no session. Once the upstream has resolved the
 * user exists, so it is 201 whatever is known of that user: a client that saw an error would register again.
 */
export function mountRegister(
  scope: FastifyInstance,
  { path, config, schema }: BodyRoute,
  { options: { userSchema }, upstream, users }: RouteDeps
): void {
  const created = Type.Object({ user: partOf(userSchema) }, { description: 'The user exists now' })
  const response = { 201: created, ...errorAnswers(400, 409, 413, 415, 422, 429, 502, 503, 504) }

  const route = { config, schema: { summary: 'Register', body: schema, response } }
  scope.post(path, route, (request, reply) =>
    answerOnce(reply, async (presence) => {
      const { headers, ip, body } = request
      const registered = await upstream?.register?.(body, { headers, ip, presence })
      reply.code(201)
      return { user: users.parseFields(registered?.user) }
    })
  )
}

/** The schema of an answer in which any field may be missing: without a `default`, which the serializer would write. */
function partOf({ required: _required, ...schema }: TObject): TSchema {
  const properties = Object.entries<object>(schema.properties).map(([name, field]) => {
    const { default: _default, ...rest } = { default: undefined, ...field }
    return [name, rest]
  })
  return { ...schema, properties: Object.fromEntries(properties) }
}
