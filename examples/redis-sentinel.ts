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

// The plugin's own client has the settings that notice a master that hangs or was replaced. A client of your own needs
// those of examples/redis.ts, and `failoverDetector: true`: when the sentinels lose a master that this process still
// reaches, it would stay with that master.
await app.register(fastifyJwtSession, {
  jwt: { secret: SESSION_SECRET },
  redis: { sentinels, name: REDIS_NAME },
  upstream: { baseUrl: UPSTREAM_URL },
  // A logout is acknowledged when a replica knows it: no failover brings the session back.
  minReplicas: 1,
  cache: true
})

app.get('/me', { preHandler: verifySession }, async (request) => request.session.user)

await app.listen({ port: Number(PORT) })
