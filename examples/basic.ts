import { randomBytes } from 'node:crypto'
import Fastify from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'

// The upstream: a stand-in for your API with the users and passwords.
const upstream = Fastify()
upstream.post<{ Body: { username: string; password: string } }>('/user/login', async (request, reply) => {
  const { username, password } = request.body
  if (username !== 'ada' || password !== 'lovelace') return reply.code(401).send()
  return { user: { id: 1, name: 'Ada' } }
})
const baseUrl = await upstream.listen({ port: 0 })

// The app for your clients.
const app = Fastify()
await app.register(fastifyJwtSession, {
  jwt: { secret: process.env.SESSION_SECRET ?? randomBytes(32) },
  upstream: { baseUrl }
})
app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
