import Fastify, { type FastifyInstance } from 'fastify'
import { fastifyJwtSession, type JwtSessionOptions } from '../../../lib/index.js'
import { SECRET } from '../../fixtures/app.js'
import type { Teardown } from '../../fixtures/redis/start-redis.js'

/** An upstream that accepts every user. */
const upstream = { login: async (body: unknown) => ({ user: { id: (body as { username: string }).username } }) }

/** An app with a private page, ready when Redis responds, closed at the teardown. */
export async function startApp(t: Teardown, options: Partial<JwtSessionOptions>): Promise<FastifyInstance> {
  const app = Fastify()
  t.teardown(() => app.close())
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, requireStoreAtStart: true, ...options })
  app.get('/me', { preHandler: app.verifySession }, async (request) => request.session.user)
  await app.ready()
  return app
}
