import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'
import { Type } from 'typebox'

const { SESSION_SECRET, UPSTREAM_URL, REDIS_URL = 'redis://127.0.0.1:6379', PORT = '3000' } = process.env
if (!SESSION_SECRET || !UPSTREAM_URL) throw new Error('Set SESSION_SECRET (32 bytes or more) and UPSTREAM_URL')

// The fields of a user stored in a session, and the type of `request.session.user`.
const userSchema = Type.Object({ id: Type.String(), name: Type.String() })

declare module 'fastify-jwt-session' {
  interface SessionTypes {
    userSchema: typeof userSchema
  }
}

const app = Fastify({ logger: true })

// After a failover the old master may stay up as a read-only replica, and only a new connection finds the new master.
// At most one new connection per second: a server that stays read-only can still verify sessions.
let reconnectedAt = 0
function reconnectOnError(error: Error): boolean {
  if (!error.message.includes('READONLY') || Date.now() - reconnectedAt < 1_000) return false
  reconnectedAt = Date.now()
  return true
}

// A client of your own, shared with the rest of the app. The settings make commands fail fast instead of being queued,
// and shorten the wait after an outage: by default ioredis waits up to 5 s, and 10 s while Redis loads data.
await app.register(fastifyRedis, {
  url: REDIS_URL,
  commandTimeout: 500,
  connectTimeout: 1_000,
  socketTimeout: 1_000,
  retryStrategy: (attempts) => Math.min((attempts - 1) * 50, 250),
  reconnectOnError,
  maxLoadingRetryTime: 250,
  enableOfflineQueue: false,
  maxRetriesPerRequest: 0
})

await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  redis: app.redis,
  upstream: { baseUrl: UPSTREAM_URL },
  userSchema,
  session: { ttlSeconds: 3_600 }
})

app.get('/me', { preHandler: verifySession }, async (request) => `Hello ${request.session.user.name}`)

// For the load balancer: no requests while the store does not respond.
app.get('/ready', async (_request, reply) => {
  const ready = await app.sessions.isReady()
  return reply.code(ready ? 200 : 503).send({ ready })
})

await app.listen({ port: Number(PORT) })
