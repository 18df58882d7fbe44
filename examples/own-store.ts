import Fastify from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'
import { createFileStore } from './file-store.js'

const { SESSION_SECRET, UPSTREAM_URL, SESSION_FOLDER = './sessions', NEW_STORE, PORT = '3000' } = process.env
if (!SESSION_SECRET || !UPSTREAM_URL) throw new Error('Set SESSION_SECRET (32 bytes or more) and UPSTREAM_URL')

const app = Fastify({ logger: true })
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  // NEW_STORE=yes for the first start only: later an empty folder must fail the start.
  store: await createFileStore(SESSION_FOLDER, { isNew: NEW_STORE === 'yes' }),
  upstream: { baseUrl: UPSTREAM_URL }
})
app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

await app.listen({ port: Number(PORT) })
