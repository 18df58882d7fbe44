import type { CacheConfig } from '../cache/open-cache.js'
import type { BreakerLimits } from '../internal/circuit-breaker.js'
import type { GuardedStoreConfig } from './guarded-store.js'
import type { RedisClient } from './redis/client.js'
import type { SessionStore } from './session-store.js'

/** Redis through a client that was injected, or through a client to be opened with these options. */
export type RedisChoice = { kind: 'redis-client'; client: RedisClient } | { kind: 'redis-options'; options: object }

/** Where sessions live. */
export type StoreChoice = RedisChoice | { kind: 'custom'; store: SessionStore } | { kind: 'memory' }

/** What the store's stack is made of. */
export interface StoreConfig {
  choice: StoreChoice
  /** Milliseconds that one request may wait for the store. */
  timeoutMs: number
  isRequiredAtStart: boolean
  /** Null: replicas are not waited for. */
  minReplicas: number | null
  breaker: BreakerLimits
  /** Null: no cache. */
  cache: CacheConfig | null
  /** Milliseconds of the longest life of a session. */
  ttlMs: number
  /** Milliseconds; null: no idle timeout, so that downtime does not matter. */
  idleMs: number | null
}

/** A store, and what the layer around it has to know of it. */
export interface OpenedStore {
  store: SessionStore
  guard?: Pick<GuardedStoreConfig, 'partitionOf' | 'isReady' | 'isRefused' | 'plainStore'>
}
