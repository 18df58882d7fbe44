import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'
import { Type } from 'typebox'

const { SESSION_SECRET, UPSTREAM_URL, REDIS_URL = 'redis://127.0.0.1:6379', PORT = '3000' } = process.env
if (!SESSION_SECRET || !UPSTREAM_URL) throw new Error('Set SESSION_SECRET (32 bytes or more) and UPSTREAM_URL')

// What of the user a session keeps, and what type `request.session.user` has.
const userSchema = Type.Object({ id: Type.String(), name: Type.String() })

declare module 'fastify-jwt-session' {
  interface SessionTypes {
    userSchema: typeof userSchema
  }
}

const app = Fastify({ logger: true })

// A master that was replaced may live on as a replica behind the same name: then a new connection may find its successor,
// looked for once a second at most, because a server that stays read-only can still verify.
let reconnectedAt = 0
function reconnectOnError(error: Error): boolean {
  if (!error.message.includes('READONLY') || Date.now() - reconnectedAt < 1_000) return false
  reconnectedAt = Date.now()
  return true
}

// A client of your own, shared with the rest of the app. These settings make it fail fast instead of queueing requests,
// and find Redis soon when it is back: by default ioredis waits for up to 5 s, and for 10 s while Redis loads its data.
await app.register(fastifyRedis, {
  url: REDIS_URL,
  commandTimeout: 500,
  connectTimeout: 1_000,
  socketTimeout: 1_000,
  retryStrategy: (attempts) => Math.min((attempts - 1) * 50, 250),
  reconnectOnError,
  maxLoadingRetryTime: 250,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0,
  autoResendUnfulfilledCommands: false
})

await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  redis: app.redis,
  upstream: { baseUrl: UPSTREAM_URL },
  userSchema,
  session: { ttlSeconds: 3_600 }
})

app.get('/me', { preHandler: verifySession }, async (request) => `Hello ${request.session.user.name}`)

// For the load balancer: the app takes requests only while the store answers.
app.get('/ready', async (_request, reply) => {
  const ready = await app.sessions.isReady()
  return reply.code(ready ? 200 : 503).send({ ready })
})

await app.listen({ port: Number(PORT) })
