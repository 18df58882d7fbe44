// Until a date, sessions of jwt-redis-session become sessions of the plugin.
import Fastify from 'fastify'
import fastifyJwtSession, { CredentialsRejectedError, verifySession } from 'fastify-jwt-session'
import { exchangeSession, isSigned, openOldSessions, parse } from './exchange-session.js'

const { SESSION_SECRET, OLD_SECRET, REDIS_URL, EXCHANGE_UNTIL = '', PORT = '3000' } = process.env
if (!SESSION_SECRET || !OLD_SECRET || !REDIS_URL) throw new Error('Set SESSION_SECRET, OLD_SECRET and REDIS_URL')
const until = Date.parse(EXCHANGE_UNTIL)
if (Number.isNaN(until)) throw new Error('Set EXCHANGE_UNTIL to a date such as 2027-03-01')

/** By the default `algorithm`. No other header is accepted, such as `alg: none`. */
const HEADER = Buffer.from('{"alg":"HS256","typ":"JWT"}').toString('base64url')
const UUID = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/

/** The id of the session that an old token names; null for a token that jwt-redis-session would refuse. */
function readOldToken(token: unknown, secret: string): string | null {
  const [header, payload, mac, ...rest] = typeof token === 'string' ? token.split('.') : []
  if (header !== HEADER || payload === undefined || mac === undefined || rest.length > 0) return null
  if (!isSigned(`${header}.${payload}`, mac, { secret, encoding: 'base64url' })) return null
  const claims = parse(Buffer.from(payload, 'base64url').toString())
  const { jti, exp, nbf } = (claims ?? {}) as Record<string, unknown>
  const now = Date.now() / 1_000
  // Tokens have these claims only if the app has set them.
  if ((exp !== undefined && !(Number(exp) > now)) || (nbf !== undefined && !(Number(nbf) <= now))) return null
  return typeof jti === 'string' && UUID.test(jti) ? jti : null
}

// In place of this map and function: your users, and how your sessions name them.
const users = new Map([['ada', { id: 'ada', name: 'Ada' }]])
async function findUser(session: unknown) {
  const { user } = (session ?? {}) as { user?: { id?: unknown } }
  return users.get(String(user?.id)) ?? null
}

const app = Fastify()
await openOldSessions(app, REDIS_URL)
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  redis: { url: REDIS_URL },
  upstream: { login: async (credentials) => ({ user: { id: (credentials as { username: string }).username } }) }
})

// The page calls the route before its first guarded call, which an old token would end: 401, with the clear signal.
app.post('/user/exchange', async (request, reply) => {
  if (Date.now() >= until) return reply.code(410).send({ message: 'Log in' })
  const id = readOldToken(request.headers['x-access-token'], OLD_SECRET)
  if (id === null) throw new CredentialsRejectedError()
  return exchangeSession(request, reply, { key: `sess:${id}`, findUser })
})

app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

console.log(await app.listen({ port: Number(PORT) }))
