import { randomBytes } from 'node:crypto'
import Fastify, { type FastifyInstance } from 'fastify'
import fastifyJwtSession, { CredentialsRejectedError, verifySession } from 'fastify-jwt-session'
import { Type } from 'typebox'

const { SESSION_SECRET, IDLE_SECONDS = '120' } = process.env

// The upstream: a stand-in for your API with the users and passwords.
const USERS = [
  { id: 'ada', name: 'Ada', password: 'lovelace', orders: ['Tea for Ada', 'Punched cards for Ada'] },
  { id: 'grace', name: 'Grace', password: 'hopper', orders: ['Wire for Grace'] }
]

async function login(credentials: unknown) {
  const { username, password } = credentials as { username: string; password: string }
  const user = USERS.find(({ id }) => id === username)
  if (!user || user.password !== password) throw new CredentialsRejectedError()
  return { user: { id: user.id, name: user.name } }
}

/** Creates the API of the page: the routes of the plugin, with the event stream and the list of sessions, and `/orders`. */
export async function createApi(): Promise<FastifyInstance> {
  const api = Fastify({ logger: { level: 'warn' } })
  await api.register(fastifyJwtSession, {
    jwt: { secret: SESSION_SECRET ?? randomBytes(32) },
    upstream: { login },
    userSchema: Type.Object({ id: Type.String(), name: Type.String() }),
    // Short enough to see the countdown.
    session: { ttlSeconds: 3_600, idleTimeoutSeconds: Number(IDLE_SECONDS) },
    routes: { events: {}, sessions: {} }
  })
  api.get('/orders', { preHandler: verifySession }, async ({ session }) => {
    return USERS.find(({ id }) => id === session.user.id)?.orders ?? []
  })
  return api
}
