import type { BenchServer } from './bench-server.js'
import { createMemoryStore, startPlugin } from './plugin-strict.js'

/** One process, no Redis. */
export default {
  title: 'this plugin, in-memory store',
  packages: ['fastify-jwt-session', 'fastify'],
  start: (environment) => startPlugin(environment, { store: createMemoryStore() })
} satisfies BenchServer
