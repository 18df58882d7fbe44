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

/** An upstream in the same process. Replace the Map with your database, LDAP or gRPC. */
function createUpstream(): UpstreamClient {
  const users = new Map<string, { id: string; salt: Buffer; key: Buffer }>()
  const decoy = { id: '', salt: randomBytes(16), key: randomBytes(32) }

  return {
    async login(credentials) {
      const { username, password } = credentials as { username: string; password: string }
      // Hash a password for unknown users too: response times must not reveal user names.
      const user = users.get(username) ?? decoy
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
  upstream: createUpstream()
})
app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

console.log(await app.listen({ port: Number(process.env.PORT ?? 3000) }))
