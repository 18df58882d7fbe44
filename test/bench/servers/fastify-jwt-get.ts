import { randomUUID } from 'node:crypto'
import fastifyJwt from '@fastify/jwt'
import Fastify, { type FastifyReply, type FastifyRequest } from 'fastify'
import { Redis } from 'ioredis'
import {
  type BenchServer,
  type BenchUser,
  callUpstream,
  type Environment,
  type Listening,
  listenFastify,
  meSchema,
  SECRET,
  TTL_SECONDS
} from './bench-server.js'

const string = { type: 'string' }
const loginSchema = {
  body: {
    type: 'object',
    required: ['username', 'password'],
    properties: { username: string, password: string }
  },
  response: {
    200: {
      type: 'object',
      properties: {
        access_token: string,
        user: { type: 'object', properties: { id: string, name: string, email: string } }
      }
    }
  }
}

/** A hand-written guard: a token with a key, and a check whether the key exists. */
export async function startByHand({ upstreamUrl }: Environment, redis: Redis): Promise<Listening> {
  const app = Fastify()
  await app.register(fastifyJwt, { secret: SECRET, sign: { expiresIn: TTL_SECONDS } })

  async function verify(request: FastifyRequest, reply: FastifyReply): Promise<void> {
    const { jti } = await request.jwtVerify<{ jti: string }>()
    const stored = await redis.get(`session:${jti}`)
    if (stored === null) return reply.code(401).send({ message: 'The session has ended' })
    request.user = { jti, ...JSON.parse(stored) }
  }

  app.post('/user/login', { schema: loginSchema }, async ({ body }) => {
    const user = await callUpstream(upstreamUrl, body)
    const jti = randomUUID()
    await redis.set(`session:${jti}`, JSON.stringify(user), 'EX', TTL_SECONDS)
    return { access_token: app.jwt.sign({ jti }), user }
  })
  app.post('/user/logout', async (request, reply) => {
    const { jti } = await request.jwtVerify<{ jti: string }>()
    await redis.del(`session:${jti}`)
    return reply.code(204).send()
  })
  app.get('/me', { schema: meSchema, preHandler: verify }, async ({ user }) => user as BenchUser)
  return listenFastify(app)
}

export default {
  title: '@fastify/jwt and GET, by hand',
  packages: ['@fastify/jwt', 'fastify', 'ioredis'],
  start: (environment) => startByHand(environment, new Redis(environment.redisPath))
} satisfies BenchServer
