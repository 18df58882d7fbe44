import type { FastifyInstance } from 'fastify'
import { warn } from '../internal/warn.js'
import type { GuardedStore } from '../store/guarded-store.js'
import { createInvalidatingStore } from './invalidating-store.js'
import { type CachedReader, NO_CACHE, SessionCache } from './session-cache.js'

/** How large the cache may become, and how late it may know of a change. */
export interface CacheConfig {
  /** Tokens: 1 or more. */
  maxEntries: number
  /** Milliseconds for which an ended session may be let in when a connection was cut without a sign: 100 or more. */
  maxStaleMs: number
}

interface StoreWithCache<Value> {
  store: GuardedStore
  /** Of what is read from the store. */
  cache: CachedReader<Value>
}

/**
 * A cache that the store itself keeps current; none without a config, or where the store cannot. Closed with the app.
 * Resolves when the first attempt to track changes is over: without success the cache is used as soon as a later one has it.
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
      `Sessions are verified without a cache: Redis does not let us track its keys (${code}).`
    )
  }
}
