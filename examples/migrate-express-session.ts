// Until a date, sessions of express-session and @fastify/session become sessions of the plugin.
import Fastify from 'fastify'
import fastifyJwtSession, { CredentialsRejectedError, verifySession } from 'fastify-jwt-session'
import { exchangeSession, isSigned, openOldSessions } from './exchange-session.js'

const { SESSION_SECRET, OLD_SECRET, REDIS_URL, EXCHANGE_UNTIL = '', PORT = '3000' } = process.env
if (!SESSION_SECRET || !OLD_SECRET || !REDIS_URL) throw new Error('Set SESSION_SECRET, OLD_SECRET and REDIS_URL')
const until = Date.parse(EXCHANGE_UNTIL)
if (Number.isNaN(until)) throw new Error('Set EXCHANGE_UNTIL to a date such as 2027-03-01')

/** `name` of express-session. `cookieName` of @fastify/session is `sessionId` by default. */
const { OLD_COOKIE = 'connect.sid' } = process.env
/** express-session puts `s:` before the value, @fastify/session its `cookiePrefix`, by default none. */
const SIGNED_ID = /^(?:s:)?([\w-]{32})\.([\w+/]{43})$/

/** The id of the session that the old cookie names; null for a cookie that the other library would refuse. */
function readOldCookie(header: string, secret: string): string | null {
  const cookie = header.split(/; */).find((cookie) => cookie.startsWith(`${OLD_COOKIE}=`)) ?? ''
  const value = cookie.slice(OLD_COOKIE.length + 1).replace(/%(?:3A|2B|2F)/gi, decodeURIComponent)
  const [, id, mac] = SIGNED_ID.exec(value) ?? []
  if (id === undefined || mac === undefined) return null
  return isSigned(id, mac, { secret, encoding: 'base64' }) ? id : null
}

// In place of this map and function: your users, and how your sessions name them.
const users = new Map([['ada', { id: 'ada', name: 'Ada' }]])
async function findUser(session: unknown) {
  const { user } = (session ?? {}) as { user?: { id?: unknown } }
  return users.get(String(user?.id)) ?? null
}

const app = Fastify()
await openOldSessions(app, REDIS_URL)
// With the cookie the plugin refuses an exchange that a page of another site has started.
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  redis: { url: REDIS_URL },
  upstream: { login: async (credentials) => ({ user: { id: (credentials as { username: string }).username } }) },
  cookie: {}
})

app.post('/user/exchange', async (request, reply) => {
  if (Date.now() >= until) return reply.code(410).send({ message: 'Log in' })
  const id = readOldCookie(request.headers.cookie ?? '', OLD_SECRET)
  if (id === null) throw new CredentialsRejectedError()
  const answer = await exchangeSession(request, reply, { key: `sess:${id}`, findUser })
  reply.header('set-cookie', `${OLD_COOKIE}=; Path=/; Max-Age=0`)
  return answer
})

app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

console.log(await app.listen({ port: Number(PORT) }))
