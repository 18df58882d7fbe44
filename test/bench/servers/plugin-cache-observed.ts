import { subscribe } from 'node:diagnostics_channel'
import { Redis } from 'ioredis'
import type { BenchServer } from './bench-server.js'
import { startPlugin } from './plugin-strict.js'

/** As `plugin-cache`, with a subscriber of every verification: beside it the table shows what a subscriber costs. */
export default {
  title: 'this plugin, cache, with a subscriber',
  packages: ['fastify-jwt-session', 'fastify', 'ioredis'],
  async start(environment) {
    const counts = new Map<unknown, number>()
    subscribe('fastify-jwt-session:verify', (message) => {
      const { outcome } = message as { outcome: string }
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    })
    return startPlugin(environment, {
      redis: new Redis(environment.redisPath, { enableAutoPipelining: true }),
      cache: true
    })
  }
} satisfies BenchServer
