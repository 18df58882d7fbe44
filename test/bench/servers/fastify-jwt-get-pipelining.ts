import { Redis } from 'ioredis'
import type { BenchServer } from './bench-server.js'
import { startByHand } from './fastify-jwt-get.js'

export default {
  title: '@fastify/jwt and GET, by hand, auto-pipelining',
  packages: ['@fastify/jwt', 'fastify', 'ioredis'],
  start: (environment) => startByHand(environment, new Redis(environment.redisPath, { enableAutoPipelining: true }))
} satisfies BenchServer
