import type { FastifyInstance } from 'fastify'
import type { ResolvedOptions } from '../options/resolve-options.js'
import { createMemoryStore } from './memory-store.js'
import { openRedis } from './open-redis.js'
import { createRedisStore } from './redis-store.js'
import type { SessionStore } from './session-store.js'

/** The store that the options ask for. What is opened here is closed with the app; what was injected is not. */
export async function openStore(
  fastify: FastifyInstance,
  { store: choice, storeTimeoutMs }: Pick<ResolvedOptions, 'store' | 'storeTimeoutMs'>
): Promise<SessionStore> {
  if (choice.kind === 'custom') return choice.store
  if (choice.kind === 'redis-client') return createRedisStore(choice.client)
  if (choice.kind === 'redis-options') return createRedisStore(await openRedis(fastify, choice.options, storeTimeoutMs))
  warnInProduction()
  const store = createMemoryStore()
  fastify.addHook('onClose', async () => store.close())
  return store
}

let hasWarned = false

function warnInProduction(): void {
  if (hasWarned || process.env.NODE_ENV !== 'production') return
  hasWarned = true
  process.emitWarning('Sessions live in the memory of this process and end with it. Set `redis` or `store`.', {
    type: 'JwtSessionWarning',
    code: 'FST_JWT_SESSION_MEMORY_STORE'
  })
}
