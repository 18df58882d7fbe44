import { Redis } from 'ioredis'
import type { BenchServer } from './bench-server.js'
import { startPlugin } from './plugin-strict.js'

/** Verified sessions are cached in the process until Redis reports a change. */
export default {
  title: 'this plugin, cache',
  packages: ['fastify-jwt-session', 'fastify', 'ioredis'],
  start: (environment) =>
    startPlugin(environment, { redis: new Redis(environment.redisPath, { enableAutoPipelining: true }), cache: true })
} satisfies BenchServer
