import type { CacheConfig } from '../cache/open-cache.js'
import type { BreakerLimits } from '../internal/circuit-breaker.js'
import type { GuardedStoreConfig } from './guarded-store.js'
import type { RedisClient } from './redis/client.js'
import type { SessionStore } from './session-store.js'

/** Redis: an injected client, or options for a client of the plugin. */
export type RedisChoice = { kind: 'redis-client'; client: RedisClient } | { kind: 'redis-options'; options: object }

/** Where sessions live. */
export type StoreChoice = RedisChoice | { kind: 'custom'; store: SessionStore } | { kind: 'memory' }

/** The configuration of the store's stack. */
export interface StoreConfig {
  choice: StoreChoice
  /** Milliseconds that a request may wait for the store. */
  timeoutMs: number
  isRequiredAtStart: boolean
  /** Replicas that must acknowledge the end of a session, 1 or more. Null: no replica is waited for. */
  minReplicas: number | null
  breaker: BreakerLimits
  /** Null: no cache. */
  cache: CacheConfig | null
  /** Milliseconds of the longest lifetime of a session. */
  ttlMs: number
  /** Milliseconds. Null: no idle timeout, so that downtime is not measured. */
  idleMs: number | null
}

/** A store, with the parts of {@link GuardedStoreConfig} that depend on the store. */
export interface OpenedStore {
  store: SessionStore
  guard?: Pick<GuardedStoreConfig, 'partitionOf' | 'isReady' | 'isRefused' | 'plainStore'>
}
