import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import Fastify from 'fastify'
import fastifyJwtSession, {
  CredentialsRejectedError,
  RegistrationRejectedError,
  type UpstreamClient,
  verifySession
} from 'fastify-jwt-session'

const hash = promisify<string, Buffer, number, Buffer>(scrypt)

/** Users in the same process. In place of the Map: your database, LDAP, gRPC, anything that knows a password. */
function createUserDirectory(): UpstreamClient {
  const users = new Map<string, { id: string; salt: Buffer; key: Buffer }>()
  const nobody = { id: '', salt: randomBytes(16), key: randomBytes(32) }

  return {
    async login(credentials) {
      const { username, password } = credentials as { username: string; password: string }
      // An unknown user costs the same work as a wrong password.
      const user = users.get(username) ?? nobody
      const key = await hash(password, user.salt, 32)
      if (!timingSafeEqual(key, user.key)) throw new CredentialsRejectedError()
      return { user: { id: user.id } }
    },

    async register(registration) {
      const { username, password } = registration as { username: string; password: string }
      if (password.length < 8) throw new RegistrationRejectedError(422)
      const salt = randomBytes(16)
      const user = { id: randomBytes(16).toString('hex'), salt, key: await hash(password, salt, 32) }
      if (users.has(username)) throw new RegistrationRejectedError(409)
      users.set(username, user)
      return { user: { id: user.id } }
    }
  }
}

const app = Fastify()
await app.register(fastifyJwtSession, {
  jwt: { secret: process.env.SESSION_SECRET ?? randomBytes(32) },
  upstream: createUserDirectory()
})
app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
