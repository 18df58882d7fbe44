import { randomBytes, scrypt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import Fastify, { type FastifyInstance } from 'fastify'
import { type Static, Type } from 'typebox'

// The upstream of the demo: the API that knows the users and their passwords. It stands for yours. It knows nothing of
// sessions, and its users are gone when it stops.

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

/** Creates the user API, not yet listening: `POST /user/register` and `POST /user/login`, users in memory. */
export async function createUpstream(): Promise<FastifyInstance> {
  const accounts = new Map<string, Account>()
  // An unknown user costs the same work as a known one: the time of an answer must not tell who has an account.
  const decoy = await hashPassword(randomBytes(SALT_BYTES).toString('hex'))

  const api = Fastify({ ajv: { customOptions: { coerceTypes: false } } })

  function whyNot({ username, password }: Static<typeof Registration>): [status: number, message: string] | null {
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
      // A refusal costs no hash. Asked again after hashing: another registration may have taken the name meanwhile.
      const hash = whyNot(request.body) === null ? await hashPassword(password) : null
      const refusal = whyNot(request.body)
      if (refusal !== null) return reply.code(refusal[0]).send({ message: refusal[1] })
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
