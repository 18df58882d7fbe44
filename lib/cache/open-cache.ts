import type { FastifyInstance } from 'fastify'
import { warn } from '../internal/warn.js'
import type { ResolvedCache } from '../options/resolve-options.js'
import type { BoundedStore } from '../store/guarded-store.js'
import { createForgettingStore } from './invalidating-store.js'
import { type CachedReader, createSessionCache, NO_CACHE } from './session-cache.js'

interface StoreWithCache<Value> {
  store: BoundedStore
  /** Of what is read from the store. */
  cache: CachedReader<Value>
}

/** A cache that the store itself keeps true, where one was asked for and the store can. Closed with the app. */
export async function openCache<Value>(
  fastify: FastifyInstance,
  store: BoundedStore,
  options: ResolvedCache | null
): Promise<StoreWithCache<Value>> {
  if (options === null || store.track === undefined) return { store, cache: NO_CACHE }
  const cache = createSessionCache<Value>(options.maxEntries, () => tracking.isCurrent())
  const tracking = store.track({ maxStaleMs: options.maxStaleMs, onChange: cache.forget, onRefused: warnOnce() })
  fastify.addHook('onClose', async () => tracking.close())
  await tracking.attempted
  return { store: createForgettingStore(store, cache), cache }
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
