// Logins by the code of an application.
import Fastify from 'fastify'
import fastifyJwtSession, { type JwtSessionOptions, type User } from 'fastify-jwt-session'

const options: JwtSessionOptions = {
  jwt: { secret: 'a secret of this test, 32 bytes or more' },
  upstream: { baseUrl: 'https://api.internal.example' },
  session: { maxDataBytes: 65_536 }
}
// A user of the type that `userSchema` declares in another file.
const user = { id: 'ada' } as User
const app = Fastify()
await app.register(fastifyJwtSession, options)
app.get('/magic', async (request, reply) =>
  app.sessions.login(request, reply, user, { data: { cart: [] }, ttlSeconds: 60 })
)
app.get('/plain', async (request, reply) => app.sessions.login(request, reply, user))
await app.sessions.create(user, { data: { cart: [] }, ttlSeconds: 60 })
const changed: number = await app.sessions.updateUser('ada', user)
console.log(changed)
