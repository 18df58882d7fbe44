import type { FastifyInstance } from 'fastify'
import { Type } from 'typebox'
import { UpstreamInvalidError } from '../errors.js'
import { errorAnswers } from '../http/schemas.js'
import type { BodyRoute } from '../options/resolve-routes.js'
import { callUpstream, createUpstreamContext } from './call-upstream.js'
import type { RouteParts } from './route-deps.js'

/** `POST /user/register`: hands the registration to the upstream. It opens no session. */
export function mountRegister(
  scope: FastifyInstance,
  { path, schema }: BodyRoute,
  { options: { userSchema }, upstream, users }: RouteParts
): void {
  const created = Type.Object({ user: userSchema }, { description: 'The user exists now' })
  const response = { 201: created, ...errorAnswers(400, 409, 413, 415, 422, 429, 502, 503, 504) }

  scope.post(path, { schema: { summary: 'Register', body: schema, response } }, async (request, reply) => {
    const context = createUpstreamContext(request, reply)
    const user = users.parse(await callUpstream(context, async () => upstream.register?.(request.body, context)))
    if (user === null) throw new UpstreamInvalidError()
    reply.code(201)
    return { user }
  })
}
