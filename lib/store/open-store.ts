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
  warn(choice.byMistake)
  const store = createMemoryStore()
  fastify.addHook('onClose', async () => store.close())
  return store
}

let hasWarned = false

/** Once in a process, when memory is probably not what was meant. */
function warn(byMistake: boolean): void {
  if (hasWarned || !(byMistake || process.env.NODE_ENV === 'production')) return
  hasWarned = true
  const advice = byMistake
    ? '`redis` or `store` is undefined: await its registration first.'
    : 'Set `redis` or `store`.'
  process.emitWarning(`Sessions live in the memory of this process and end with it. ${advice}`, {
    type: 'JwtSessionWarning',
    code: 'FST_JWT_SESSION_MEMORY_STORE'
  })
}
