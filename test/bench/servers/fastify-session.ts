import fastifyCookie from '@fastify/cookie'
import fastifySession, { type FastifySessionOptions } from '@fastify/session'
import { RedisStore } from 'connect-redis'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { createClient } from 'redis'
import { type BenchServer, type BenchUser, callUpstream, listenFastify, meSchema, SECRET } from './bench-server.js'

/** The package's type of `request.session` conflicts with the plugin's type in the same TypeScript program. */
interface OwnSession {
  user?: BenchUser
  regenerate(): Promise<void>
  destroy(): Promise<void>
}

function sessionOf(request: FastifyRequest): OwnSession {
  return request.session as unknown as OwnSession
}

async function verify(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  if (sessionOf(request).user === undefined) return reply.code(401).send({ message: 'Not logged in' })
}

/** `rolling: false` saves a write per request: requests do not extend the session. */
export default {
  title: '@fastify/session and connect-redis',
  packages: ['@fastify/session', 'connect-redis', 'redis', 'fastify'],
  async start({ redisPath, upstreamUrl }) {
    const client = await createClient({ socket: { path: redisPath, tls: false } }).connect()
    const app = Fastify()
    await app.register(fastifyCookie)
    await app.register(fastifySession, {
      secret: SECRET,
      store: new RedisStore({ client }) as unknown as NonNullable<FastifySessionOptions['store']>,
      saveUninitialized: false,
      rolling: false,
      cookie: { secure: false }
    })
    app.post('/user/login', async (request) => {
      const user = await callUpstream(upstreamUrl, request.body)
      await sessionOf(request).regenerate()
      sessionOf(request).user = user
      return { user }
    })
    app.post('/user/logout', async (request, reply) => {
      await sessionOf(request).destroy()
      return reply.code(204).send()
    })
    app.get('/me', { schema: meSchema, preHandler: verify }, async (request) => sessionOf(request).user)
    return listenFastify(app)
  }
} satisfies BenchServer
