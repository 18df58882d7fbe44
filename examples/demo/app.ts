import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyJwtSession, { type SessionOptions, verifySession } from 'fastify-jwt-session'
import { Type } from 'typebox'
import { servePage } from './serve-page.js'
import { createUpstream } from './upstream.js'

/** What the demo can be told; all of it optional. */
export interface DemoOptions {
  /** Where sessions live, `redis://…` or `rediss://…`. Default: this process's memory, gone at exit. */
  redisUrl?: string
  /** Signs the tokens, at least 32 bytes. Default: a random one, so that tokens do not outlive this process. */
  secret?: string
  /** Default: three sessions a user, each of 10 minutes at most, 2 unused: short enough to watch them end. */
  session?: SessionOptions
}

const UserSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  email: Type.Optional(Type.String())
})

/** Creates the demo, not yet listening: the plugin, its user API (which listens on a free port), `GET /me` and the page. */
export async function createDemo(options: DemoOptions = {}): Promise<FastifyInstance> {
  const upstream = await createUpstream()
  const baseUrl = await upstream.listen({ host: '127.0.0.1', port: 0 })

  // How long a start waits for Redis; Fastify's own 10 s is long for somebody who forgot to start it.
  const app = Fastify({ logger: { level: 'warn' }, pluginTimeout: 4_000 })
  app.addHook('onClose', () => upstream.close())

  try {
    await app.register(fastifyJwtSession, {
      jwt: { secret: options.secret ?? randomBytes(32).toString('base64url') },
      ...(options.redisUrl === undefined ? {} : { redis: { url: options.redisUrl } }),
      upstream: { baseUrl },
      userSchema: UserSchema,
      session: { ttlSeconds: 600, idleTimeoutSeconds: 120, maxPerUser: 3, ...options.session },
      routes: { sessions: {} }
    })
    app.get('/me', { preHandler: verifySession }, async ({ session }, reply) => {
      reply.header('Cache-Control', 'no-store')
      return session.user
    })
    await servePage(app)
    return await app
  } catch (error) {
    await app.close()
    throw error
  }
}
