import type { StoreConfig } from '../store/store-config.js'
import type { ResolvedOptions } from './resolve-options.js'

/** The options of the store's stack, in the format of {@link StoreConfig}. */
export function toStoreConfig(options: ResolvedOptions): StoreConfig {
  const { ttlSeconds, idleTimeoutSeconds } = options.session
  return {
    choice: options.store,
    timeoutMs: options.storeTimeoutMs,
    isRequiredAtStart: options.requireStoreAtStart,
    minReplicas: options.minReplicas,
    breaker: options.breaker.store,
    cache: options.cache,
    ttlMs: ttlSeconds * 1_000,
    idleMs: idleTimeoutSeconds && idleTimeoutSeconds * 1_000
  }
}
