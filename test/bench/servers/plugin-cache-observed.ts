import { subscribe } from 'node:diagnostics_channel'
import type { BenchServer } from './bench-server.js'
import pluginCache from './plugin-cache.js'

/** As `plugin-cache`, with a subscriber of every verification: beside it the table shows what a subscriber costs. */
export default {
  ...pluginCache,
  title: `${pluginCache.title}, with a subscriber`,
  start(environment) {
    const counts = new Map<unknown, number>()
    subscribe('fastify-jwt-session:verify', (message) => {
      const { outcome } = message as { outcome: string }
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1)
    })
    return pluginCache.start(environment)
  }
} satisfies BenchServer
