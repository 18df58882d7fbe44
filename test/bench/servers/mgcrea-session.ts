import fastifyCookie from '@fastify/cookie'
import fastifySession from '@mgcrea/fastify-session'
import { RedisStore } from '@mgcrea/fastify-session-redis-store'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { Redis } from 'ioredis'
import {
  type BenchServer,
  type BenchUser,
  callUpstream,
  listenFastify,
  meSchema,
  SECRET,
  TTL_SECONDS
} from './bench-server.js'

/** The package's type of `request.session` conflicts with other types in the same TypeScript program. */
interface OwnSession {
  get(name: 'user'): BenchUser | undefined
  set(name: 'user', user: BenchUser): void
  destroy(): Promise<void>
}

function sessionOf(request: FastifyRequest): OwnSession {
  return request.session as unknown as OwnSession
}

async function verify(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (sessionOf(request).get('user') === undefined) return reply.code(401).send({ message: 'Not logged in' })
}

/** A store without `touch` saves two commands per request: requests do not extend the session. */
function storeWithoutTouch(client: Redis) {
  const store = new RedisStore({ client, ttl: TTL_SECONDS })
  return {
    get: store.get.bind(store),
    set: store.set.bind(store),
    destroy: store.destroy.bind(store)
  }
}

export default {
  title: '@mgcrea/fastify-session and its Redis store',
  packages: ['@mgcrea/fastify-session', '@mgcrea/fastify-session-redis-store', 'fastify', 'ioredis'],
  async start({ redisPath, upstreamUrl }) {
    const app = Fastify()
    await app.register(fastifyCookie)
    await app.register(fastifySession, {
      secret: SECRET,
      store: storeWithoutTouch(new Redis(redisPath, { enableAutoPipelining: true })),
      saveUninitialized: false,
      cookie: { maxAge: TTL_SECONDS }
    })
    app.post('/user/login', async (request) => {
      const user = await callUpstream(upstreamUrl, request.body)
      sessionOf(request).set('user', user)
      return { user }
    })
    app.post('/user/logout', async (request, reply) => {
      await sessionOf(request).destroy()
      return reply.code(204).send()
    })
    app.get('/me', { schema: meSchema, preHandler: verify }, async (request) => sessionOf(request).get('user'))
    return listenFastify(app)
  }
} satisfies BenchServer
