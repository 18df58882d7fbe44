import Fastify, { type FastifySchema } from 'fastify'
import { BROWSER } from '../load/requests.js'
import { type BenchServer, callUpstream, listenFastify, meSchema } from './bench-server.js'

/** As long as a session token, so that the header costs as much to read. */
const NO_TOKEN = 'x'.repeat(250)
const ID_LENGTH = 38
const ADA = { id: 'user-0', name: 'User user-0' }

/** As long as the plugin's list of three sessions. */
const LIST = [1, 2, 3].map((number) => ({
  id: `${number}`.repeat(ID_LENGTH),
  created_at: '2026-01-01T00:00:00.000Z',
  last_seen_at: '2026-01-01T00:00:00.000Z',
  expires_at: '2026-01-01T12:00:00.000Z',
  ip: '127.0.0.1',
  user_agent: BROWSER,
  current: number === 3
}))
const string = { type: 'string' }
const nullable = { anyOf: [string, { type: 'null' }] }
const time = { type: 'string', format: 'date-time' }
const listSchema: FastifySchema = {
  response: {
    200: {
      type: 'array',
      items: {
        type: 'object',
        properties: {
          id: string,
          created_at: time,
          last_seen_at: time,
          expires_at: time,
          ip: nullable,
          user_agent: nullable,
          current: { type: 'boolean' }
        }
      }
    }
  }
}

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
    app.get('/user/sessions', { schema: listSchema }, async (_request, reply) => {
      reply.header('cache-control', 'no-store')
      return LIST
    })
    return listenFastify(app)
  }
} satisfies BenchServer
