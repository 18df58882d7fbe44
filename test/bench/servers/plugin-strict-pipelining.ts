import { Redis } from 'ioredis'
import type { BenchServer } from './bench-server.js'
import { startPlugin } from './plugin-strict.js'

/** Each request reads Redis; requests of the same turn of the event loop share a write to the socket. */
export default {
  title: 'this plugin, strict, auto-pipelining',
  packages: ['fastify-jwt-session', 'fastify', 'ioredis'],
  start: (environment) =>
    startPlugin(environment, {
      redis: new Redis(environment.redisPath, { enableAutoPipelining: true }),
      // The largest value, for the measurement of one user with many sessions.
      session: { maxPerUser: 1_000 }
    })
} satisfies BenchServer
