import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'

// The upstream of the demo, a stand-in for your API with the users and passwords. Without sessions, and without a
// database: a restart removes all users.

const MAX_USERS = 1_000
const MIN_PASSWORD_LENGTH = 8
const KEY_BYTES = 32
const SALT_BYTES = 16

const Credentials = Type.Object({
  username: Type.String({ minLength: 1, maxLength: 256 }),
  password: Type.String({ minLength: 1, maxLength: 1_024 })
})

const Registration = Type.Object({
  ...Credentials.properties,
  email: Type.Optional(Type.String({ maxLength: 320 }))
})

interface User {
  id: string
  name: string
  email?: string
}

interface PasswordHash {
  salt: Buffer
  key: Buffer
}

interface Account {
  user: User
  password: PasswordHash
}

const deriveKey = promisify<string, Buffer, number, Buffer>(scrypt)

async function hashPassword(password: string): Promise<PasswordHash> {
  const salt = randomBytes(SALT_BYTES)
  return { salt, key: await deriveKey(password, salt, KEY_BYTES) }
}

async function isPassword(password: string, { salt, key }: PasswordHash): Promise<boolean> {
  return timingSafeEqual(await deriveKey(password, salt, KEY_BYTES), key)
}

/** Creates the upstream, not yet listening: `POST /user/register` and `POST /user/login`, users in memory. */
export async function createUpstream(): Promise<FastifyInstance> {
  const accounts = new Map<string, Account>()
  // Hashed for unknown users: response times must not reveal user names.
  const decoy = await hashPassword(randomBytes(SALT_BYTES).toString('hex'))

  const api = Fastify({ ajv: { customOptions: { coerceTypes: false } } })

  function rejectionOf({ username, password }: Static<typeof Registration>): [status: number, message: string] | null {
    if (password.length < MIN_PASSWORD_LENGTH) return [422, `A password has at least ${MIN_PASSWORD_LENGTH} characters`]
    if (accounts.has(username)) return [409, 'This name is taken']
    if (accounts.size >= MAX_USERS) return [503, 'No room for more users']
    return null
  }

  api.post<{ Body: Static<typeof Registration> }>(
    '/user/register',
    { schema: { body: Registration } },
    async (request, reply) => {
      const { username, password, email } = request.body
      // Checked before hashing, to save the cost, and after: another registration may have taken the name.
      const hash = rejectionOf(request.body) === null ? await hashPassword(password) : null
      const rejection = rejectionOf(request.body)
      if (rejection !== null) return reply.code(rejection[0]).send({ message: rejection[1] })
      if (hash === null) return reply.code(503).send({ message: 'Try again' })

      const user: User = { id: randomBytes(12).toString('base64url'), name: username, ...(email ? { email } : {}) }
      accounts.set(username, { user, password: hash })
      return reply.code(201).send({ user })
    }
  )

  api.post<{ Body: Static<typeof Credentials> }>(
    '/user/login',
    { schema: { body: Credentials } },
    async (request, reply) => {
      const account = accounts.get(request.body.username)
      const matches = await isPassword(request.body.password, account?.password ?? decoy)
      if (account === undefined || !matches) return reply.code(401).send({ message: 'Wrong name or password' })
      return { user: account.user }
    }
  )

  return api
}
