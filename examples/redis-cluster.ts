import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'
import { Cluster } from 'ioredis'

const { SESSION_SECRET, UPSTREAM_URL, REDIS_NODES, PORT = '3000' } = process.env
if (!SESSION_SECRET || !UPSTREAM_URL || !REDIS_NODES) {
  throw new Error(
    'Set SESSION_SECRET (32 bytes or more), UPSTREAM_URL and REDIS_NODES (redis://host:port redis://host:port …)'
  )
}

const app = Fastify({ logger: true })

// The client leaves a dead or hanging master as soon as a replica has taken over; until then requests are answered 503
// at once instead of being queued. Automatic pipelines need `maxRedirections` and `retryDelayOnTryAgain`: by default
// ioredis repeats all commands of a pipeline when a single command is for a slot in migration to another master.
const client = new Cluster(REDIS_NODES.split(' '), {
  slotsRefreshInterval: 1_000,
  maxRedirections: 3,
  retryDelayOnTryAgain: 10,
  enableAutoPipelining: true,
  enableOfflineQueue: false,
  redisOptions: {
    commandTimeout: 500,
    connectTimeout: 1_000,
    socketTimeout: 1_000,
    maxRetriesPerRequest: 0
  }
})
await app.register(fastifyRedis, { client, closeClient: true })

await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  redis: client,
  upstream: { baseUrl: UPSTREAM_URL },
  // A replica acknowledges each logout: no failover brings an ended session back.
  minReplicas: 1,
  cache: true
})

app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

await app.listen({ port: Number(PORT) })
