import type { FastifyInstance } from 'fastify'
import { warn } from '../internal/warn.js'
import type { GuardedStore } from '../store/guarded-store.js'
import { createInvalidatingStore } from './invalidating-store.js'
import { type CachedReader, NO_CACHE, SessionCache } from './session-cache.js'

/** The size of the cache, and the longest delay of a change. */
export interface CacheConfig {
  /** The most tokens in the cache: 1 or more. */
  maxEntries: number
  /** Milliseconds for which an ended session may be let in after a connection has failed silently: 100 or more. */
  maxStaleMs: number
}

interface StoreWithCache<Value> {
  store: GuardedStore
  /** Caches reads of the store. */
  cache: CachedReader<Value>
}

/**
 * Opens a cache that the store notifies of changes. Without a config, or with a store without `track()`, there is no
 * cache. The cache closes with the app. Resolves after the first attempt to track changes; if the attempt fails,
 * requests read from the store until a later attempt succeeds.
 */
export async function openCache<Value>(
  fastify: FastifyInstance,
  store: GuardedStore,
  config: CacheConfig | null
): Promise<StoreWithCache<Value>> {
  if (config === null || store.track === undefined) return { store, cache: NO_CACHE }
  const cache = new SessionCache<Value>(config.maxEntries, (tag) => tracking.isCurrent(tag))
  const tracking = store.track({
    maxStaleMs: config.maxStaleMs,
    onChange: (tag) => cache.forget(tag),
    onRefused: warnOnce()
  })
  fastify.addHook('onClose', async () => tracking.close())
  await tracking.attempted
  return { store: createInvalidatingStore(store, cache), cache }
}

function warnOnce(): (error: Error) => void {
  let hasWarned = false
  return ({ message }) => {
    if (hasWarned) return
    hasWarned = true
    const code = message.split(' ')[0]
    warn(
      'FST_JWT_SESSION_CACHE_UNAVAILABLE',
      `Sessions are verified without a cache: Redis does not allow tracking of its keys (${code}).`
    )
  }
}
