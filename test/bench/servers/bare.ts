import Fastify from 'fastify'
import { type BenchServer, callUpstream, listenFastify, meSchema } from './bench-server.js'

/** As long as a session token, so that the header costs as much to read. */
const NO_TOKEN = 'x'.repeat(250)
const ADA = { id: 'user-0', name: 'User user-0' }

/** The upper limit: no verification and no session. */
export default {
  title: 'Fastify route, nothing verified',
  packages: ['fastify'],
  endsAtLogout: false,
  async start({ upstreamUrl }) {
    const app = Fastify()
    app.post('/user/login', async ({ body }) => ({
      access_token: NO_TOKEN,
      user: await callUpstream(upstreamUrl, body)
    }))
    app.post('/user/logout', async (_request, reply) => reply.code(204).send())
    app.get('/me', { schema: meSchema }, async () => ADA)
    return listenFastify(app)
  }
} satisfies BenchServer
