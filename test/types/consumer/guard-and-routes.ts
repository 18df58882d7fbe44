// Options and methods of the guard and the routes.
import Fastify from 'fastify'
import fastifyJwtSession, { createMemoryStore, type JwtSessionOptions, verifySession } from 'fastify-jwt-session'

const jwt = { secret: [new Uint8Array(32), Buffer.alloc(32), 'a secret of this test, 32 bytes or more'] }
const routes = {
  ...{ login: { path: '/in', config: { rateLimit: { max: 5 } } }, logout: { config: { own: true } } },
  ...{ session: { config: {} }, sessions: { config: { own: 1 } }, security: [{ bearerAuth: [] }] }
}
const withoutUpstream: JwtSessionOptions = {
  jwt,
  store: createMemoryStore(),
  routes: { login: false, register: false }
}

const app = Fastify()
app.addHook('onRequest', verifySession)
await app.register(fastifyJwtSession, { jwt, routes, upstream: { baseUrl: 'https://api.internal.example' } })
await app.register(fastifyJwtSession, withoutUpstream)
app.get('/public', { config: { session: false } }, async () => 1)
app.get('/called', async (request, reply) => {
  await app.verifySession(request, reply)
  return request.session.user.id
})
app.addHook('preHandler', (request, reply, done) => {
  app.verifySession(request, reply, done)
})
