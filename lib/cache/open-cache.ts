import { warn } from '../internal/warn.js'
import type { ChangeFeed } from '../store/change-feed.js'
import { type CachedReader, NO_CACHE, SessionCache } from './session-cache.js'

/** The size of the cache, and the longest delay of a change. */
export interface CacheConfig {
  /** The most tokens in the cache: 1 or more. */
  maxEntries: number
  /** Milliseconds for which an ended session may be let in after a connection has failed silently: 100 or more. */
  maxStaleMs: number
}

/**
 * Opens a cache that the feed notifies of changes. Without a config there is no cache. Resolves after the first attempt
 * to track changes; if the attempt fails, requests read from the store until a later attempt succeeds.
 */
export async function openCache<Value>(feed: ChangeFeed, config: CacheConfig | null): Promise<CachedReader<Value>> {
  if (config === null) return NO_CACHE
  const cache = new SessionCache<Value>(config.maxEntries, (tag) => feed.isCurrent(tag))
  const forget = (tag: string | null) => cache.forget(tag)
  await feed.subscribe({ onChanging: forget, onChange: forget, onRefused: warnOfRefusal })
  return cache
}

function warnOfRefusal(code: string): void {
  warn(
    'FST_JWT_SESSION_CACHE_UNAVAILABLE',
    `Sessions are verified without a cache: Redis does not allow tracking of its keys (${code}).`
  )
}
