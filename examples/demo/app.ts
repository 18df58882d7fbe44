import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyJwtSession, { type IdentityOptions, type SessionOptions, verifySession } from 'fastify-jwt-session'
import { Type } from 'typebox'
import { servePage } from './serve-page.js'
import { createUpstream } from './upstream.js'

/** Options of the demo. */
export interface DemoOptions {
  /** The session store, `redis://…` or `rediss://…`. Default: the memory of the process. */
  redisUrl?: string
  /** The secret of the tokens, at least 32 bytes. Default: a random secret, and tokens end with the process. */
  secret?: string
  /** Default: 3 sessions per user, of 10 minutes, with an idle timeout of 2 minutes: short enough to watch. */
  session?: SessionOptions
  /** Default: none. With identity tokens, a proxy on this machine may ask `/user/verify`. */
  identity?: IdentityOptions
}

const UserSchema = Type.Object({
  id: Type.String(),
  name: Type.String(),
  email: Type.Optional(Type.String())
})

/** Creates the demo, not yet listening: the plugin, `GET /me`, the page, and an upstream on a free port. */
export async function createDemo(options: DemoOptions = {}): Promise<FastifyInstance> {
  const upstream = await createUpstream()
  const baseUrl = await upstream.listen({ host: '127.0.0.1', port: 0 })

  // The time limit for connecting to Redis: Fastify's default of 10 s is long when Redis was never started.
  const { identity } = options
  const trustProxy = identity === undefined ? false : 'loopback'
  const app = Fastify({ logger: { level: 'warn' }, pluginTimeout: 4_000, trustProxy })
  app.addHook('onClose', () => upstream.close())

  try {
    await app.register(fastifyJwtSession, {
      jwt: { secret: options.secret ?? randomBytes(32).toString('base64url') },
      ...(options.redisUrl === undefined ? {} : { redis: { url: options.redisUrl } }),
      upstream: { baseUrl },
      userSchema: UserSchema,
      session: { ttlSeconds: 600, idleTimeoutSeconds: 120, maxPerUser: 3, ...options.session },
      routes: { sessions: {}, events: {}, verify: identity !== undefined && {} },
      ...(identity && { identity })
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
