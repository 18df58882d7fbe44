import Fastify from 'fastify'
import fastifyJwtSession, { verifySession } from 'fastify-jwt-session'

const { SESSION_SECRET, UPSTREAM_URL, REDIS_SENTINELS, REDIS_NAME = 'main', PORT = '3000' } = process.env
if (!SESSION_SECRET || !UPSTREAM_URL || !REDIS_SENTINELS) {
  throw new Error('Set SESSION_SECRET (32 bytes or more), UPSTREAM_URL and REDIS_SENTINELS (host:port host:port …)')
}

const sentinels = REDIS_SENTINELS.split(' ').map((address) => {
  const { hostname: host, port } = new URL(`redis://${address}`)
  return { host, port: Number(port) }
})

const app = Fastify({ logger: true })

// The plugin opens the client, with settings to detect a hanging or replaced master. A client of your own needs the
// settings of examples/redis.ts and `failoverDetector: true`: otherwise the process keeps the old master when the
// sentinels replace a master still reachable from the process.
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  redis: { sentinels, name: REDIS_NAME },
  upstream: { baseUrl: UPSTREAM_URL },
  // A replica acknowledges each logout: no failover brings an ended session back.
  minReplicas: 1,
  cache: true
})

app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

await app.listen({ port: Number(PORT) })
