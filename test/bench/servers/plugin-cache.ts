import { Redis } from 'ioredis'
import type { BenchServer } from './bench-server.js'
import { startPlugin } from './plugin-strict.js'

/** Verified sessions are kept in the process until Redis says that they changed. */
export default {
  title: 'this plugin, cache',
  packages: ['fastify-jwt-session', 'fastify', 'ioredis'],
  start: (environment) =>
    startPlugin(environment, { redis: new Redis(environment.redisPath, { enableAutoPipelining: true }), cache: true })
} satisfies BenchServer
