import Fastify from 'fastify'
import fastifyJwtSession from 'fastify-jwt-session'
import { createFileStore } from './file-store.js'

const { SESSION_SECRET, USERS_URL, SESSION_FOLDER = './sessions', PORT = '3000' } = process.env
if (!SESSION_SECRET || !USERS_URL) throw new Error('Set SESSION_SECRET (32 bytes or more) and USERS_URL')

const app = Fastify({ logger: true })
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  store: await createFileStore(SESSION_FOLDER),
  upstream: { baseUrl: USERS_URL }
})
app.get('/me', { preHandler: app.verifySession }, async (request) => request.session.user)

await app.listen({ port: Number(PORT) })
