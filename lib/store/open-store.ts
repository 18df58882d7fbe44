import type { FastifyInstance } from 'fastify'
import { openCache } from '../cache/open-cache.js'
import type { CachedReader } from '../cache/session-cache.js'
import { warn } from '../internal/warn.js'
import { ChangeFeed } from './change-feed.js'
import { createGuardedStore, type GuardedStore } from './guarded-store.js'
import { createMemoryStore, isMemoryStore } from './memory-store.js'
import { openRedisStore } from './redis/open-redis-store.js'
import { createReportingStore } from './reporting-store.js'
import type { DowntimeWatch, SessionStore } from './session-store.js'
import type { OpenedStore, StoreConfig } from './store-config.js'
import { callStore, longestWaitMs, waitUntilReady } from './wait-until-ready.js'

/** The store's stack. */
interface OpenedStack<Value> {
  store: GuardedStore
  /** Caches reads of the store. */
  cache: CachedReader<Value>
  /** The changes of stored sessions. */
  feed: ChangeFeed
}

/** Milliseconds, without a cache: the default of `cache.maxStaleMs`. */
const MAX_STALE_MS = 1_000

/**
 * The in-memory store always has a cache, which knows every change at once: a decoded session takes 2 µs per request,
 * a record 9 µs.
 */
const CACHE_OF_MEMORY = { maxEntries: 10_000, maxStaleMs: MAX_STALE_MS }

/**
 * Opens the store's stack, from the outside in: cache → report of changes → budget, circuit breaker and checks →
 * sessions in Redis, in memory or in the application's store. The app closes what this function opens, and leaves injected clients and stores
 * open.
 *
 * @throws {StoreUnavailableError} the store is required and does not respond
 */
export async function openStore<Value>(fastify: FastifyInstance, config: StoreConfig): Promise<OpenedStack<Value>> {
  const opened = await open(fastify, config)
  const downtime = watchDowntime(opened.store, config)
  const { timeoutMs, breaker, idleMs } = config
  const isMemory = isMemoryStore(opened.store)
  const cacheConfig = config.cache ?? (isMemory ? CACHE_OF_MEMORY : null)
  const guarded = createGuardedStore(opened.store, {
    timeoutMs,
    breaker,
    idleMs,
    log: fastify.log,
    mayIgnoreTokens: config.choice.kind === 'custom' && !isMemory,
    ...opened.guard,
    ...(downtime && { downtimeOf: (tag, now) => downtime.of(tag, now) })
  })
  const feed = new ChangeFeed(guarded, cacheConfig?.maxStaleMs ?? MAX_STALE_MS)
  fastify.addHook('onClose', async () => {
    feed.close()
    downtime?.close()
    guarded.close()
  })
  await downtime?.attempted
  return { store: createReportingStore(guarded, feed), cache: await openCache(feed, cacheConfig), feed }
}

async function open(fastify: FastifyInstance, config: StoreConfig): Promise<OpenedStore> {
  const { choice, isRequiredAtStart: isRequired } = config
  if (choice.kind === 'memory') return { store: openMemory(fastify) }
  if (choice.kind !== 'custom') return openRedisStore(fastify, choice, config)
  const { store } = choice
  const attempt = () => callStore(store)
  if (isRequired) await waitUntilReady({ attempt, patienceMs: longestWaitMs(fastify), isRequired, client: {} })
  return { store }
}

const LONGEST_INTERVAL_MS = 5_000

function watchDowntime(store: SessionStore, { idleMs, ttlMs, timeoutMs }: StoreConfig): DowntimeWatch | undefined {
  if (idleMs === null) return undefined
  return store.watchDowntime?.({ intervalMs: Math.min(LONGEST_INTERVAL_MS, idleMs / 10), rememberMs: ttlMs, timeoutMs })
}

let hasWarned = false

/** In production memory is probably a mistake: one warning for each process. */
function openMemory(fastify: FastifyInstance): SessionStore {
  if (!hasWarned && process.env.NODE_ENV === 'production') {
    hasWarned = true
    const text = 'Sessions live in the memory of this process and end with it. Set `redis` or `store`.'
    warn('FST_JWT_SESSION_MEMORY_STORE', text)
  }
  const store = createMemoryStore()
  fastify.addHook('onClose', async () => store.close())
  return store
}
