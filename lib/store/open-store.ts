import type { FastifyInstance } from 'fastify'
import { createBreaker, logBreaker } from '../internal/circuit-breaker.js'
import { warn } from '../internal/warn.js'
import type { ResolvedOptions } from '../options/resolve-options.js'
import { createMemoryStore } from './memory-store.js'
import { checkEviction, checkSettings } from './redis/check-client.js'
import { openRedis } from './redis/open-client.js'
import { createRedisStore, type RedisClient } from './redis/redis-store.js'
import { type DuplicableClient, openWaitingClient } from './redis/waiting-client.js'
import { createReplicatedStore } from './replicated-store.js'
import type { SessionStore } from './session-store.js'
import { waitForStore } from './wait-until-ready.js'

type StoreOptions = Pick<
  ResolvedOptions,
  'store' | 'storeTimeoutMs' | 'requireStoreAtStart' | 'minReplicas' | 'breaker'
>

/**
 * The store that the options ask for. What is opened here is closed with the app; what was injected is not.
 *
 * @throws {StoreUnavailableError} it is required and does not answer
 */
export async function openStore(fastify: FastifyInstance, options: StoreOptions): Promise<SessionStore> {
  const { store: choice, storeTimeoutMs, requireStoreAtStart: isRequired } = options
  const patienceMs = longestWaitMs(fastify)

  if (choice.kind === 'memory') return openMemory(fastify, choice.byMistake)
  if (choice.kind === 'redis-options') {
    const { client, refusal } = await openRedis(fastify, choice.options, storeTimeoutMs)
    const store = storeOn(fastify, client)
    // Even if it is not required: most often it is there a moment later, and the first request need not be refused.
    const wait = { client, refusal, isRequired, patienceMs: isRequired ? patienceMs : storeTimeoutMs }
    await waitForStore(store, wait).catch((error) => {
      client.disconnect()
      throw error
    })
    return withReplicas(fastify, { store, client }, options)
  }
  if (choice.kind === 'redis-client') checkSettings(choice.client)
  const client = choice.kind === 'redis-client' ? choice.client : {}
  const store = choice.kind === 'redis-client' ? storeOn(fastify, choice.client) : choice.store
  if (isRequired) await waitForStore(store, { client, isRequired, patienceMs })
  return choice.kind === 'redis-client' ? withReplicas(fastify, { store, client: choice.client }, options) : store
}

/** The store, which waits for so many replicas if it is to, over another connection. That is closed with the app. */
function withReplicas(
  fastify: FastifyInstance,
  { store, client }: { store: SessionStore; client: RedisClient },
  { minReplicas, storeTimeoutMs, breaker: { store: limits } }: StoreOptions
): SessionStore {
  if (minReplicas === null) return store
  // Each wait in vain holds up those behind it: after one, a single one at a time finds out whether replicas are back.
  const breaker = createBreaker({ ...limits, failures: 1 }, logBreaker(fastify.log, 'replica of the session store'))
  const waiting = openWaitingClient(client as DuplicableClient, { minReplicas, timeoutMs: storeTimeoutMs, breaker })
  fastify.addHook('onClose', async () => waiting.close())
  return createReplicatedStore(store, createRedisStore(waiting.client))
}

function storeOn(fastify: FastifyInstance, client: RedisClient): SessionStore {
  // Nobody waits for it.
  fastify.addHook('onReady', async () => void checkEviction(client))
  return createRedisStore(client)
}

const LONGEST_WAIT_MS = 5_000

/** Less than Fastify waits for the plugin: it would not say what is wrong. */
function longestWaitMs({ initialConfig: { pluginTimeout } }: FastifyInstance): number {
  return Math.min(LONGEST_WAIT_MS, (pluginTimeout || Number.POSITIVE_INFINITY) / 2)
}

let hasWarned = false

function openMemory(fastify: FastifyInstance, byMistake: boolean): SessionStore {
  // Once in a process, when memory is probably not what was meant.
  if (!hasWarned && (byMistake || process.env.NODE_ENV === 'production')) {
    hasWarned = true
    const advice = byMistake
      ? '`redis` or `store` is undefined: await its registration first.'
      : 'Set `redis` or `store`.'
    warn('FST_JWT_SESSION_MEMORY_STORE', `Sessions live in the memory of this process and end with it. ${advice}`)
  }
  const store = createMemoryStore()
  fastify.addHook('onClose', async () => store.close())
  return store
}
