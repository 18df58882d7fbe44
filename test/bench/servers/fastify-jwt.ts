import fastifyJwt from '@fastify/jwt'
import Fastify, { type FastifyRequest } from 'fastify'
import { type BenchServer, callUpstream, listenFastify, meSchema, SECRET, TTL_SECONDS } from './bench-server.js'

/** Only a signature: a user cannot be logged out. */
export default {
  title: '@fastify/jwt alone',
  packages: ['@fastify/jwt', 'fastify'],
  endsAtLogout: false,
  async start({ upstreamUrl }) {
    const app = Fastify()
    await app.register(fastifyJwt, { secret: SECRET, sign: { expiresIn: TTL_SECONDS } })
    app.post('/user/login', async ({ body }) => {
      const user = await callUpstream(upstreamUrl, body)
      return { access_token: app.jwt.sign(user), user }
    })
    app.post('/user/logout', async (_request, reply) => reply.code(204).send())
    const verify = async (request: FastifyRequest) => {
      await request.jwtVerify()
    }
    app.get('/me', { schema: meSchema, preHandler: verify }, async ({ user }) => user)
    return listenFastify(app)
  }
} satisfies BenchServer
