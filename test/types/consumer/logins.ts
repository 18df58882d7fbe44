// What surrounds a login.
import Fastify from 'fastify'
import fastifyJwtSession, { type JwtSessionOptions } from 'fastify-jwt-session'

const options: JwtSessionOptions = {
  jwt: { secret: 'a secret of this test, 32 bytes or more' },
  upstream: { baseUrl: 'https://api.internal.example' },
  session: { maxDataBytes: 65_536 }
}
const app = Fastify()
await app.register(fastifyJwtSession, options)
app.get('/magic', async (request, reply) =>
  app.sessions.login(request, reply, { id: 'ada' }, { data: { cart: [] }, ttlSeconds: 60 })
)
app.get('/plain', async (request, reply) => app.sessions.login(request, reply, { id: 'ada' }))
await app.sessions.create({ id: 'ada' }, { data: { cart: [] }, ttlSeconds: 60 })
const changed: number = await app.sessions.updateUser('ada', { id: 'ada' })
console.log(changed)
