import { sessionTag } from '../../model/session-id.js'
import type { ChangeTracking, TrackingOptions } from '../session-store.js'
import { type IoRedis, isCluster, keyPrefixOf, mastersOf, type RedisCluster, type RedisServer } from './client.js'
import { nodeKeyOf, slotOf, tagOnServer } from './cluster-slots.js'
import { TOKENS_SUFFIX } from './script-helpers.js'
import { TrackedServer, type TrackedServerOptions } from './tracking-connection.js'

/**
 * Notifies of changes by any client to keys that start with the client's `keyPrefix`, then `keyStart` and a user's tag.
 * The client and its connections stay as they are.
 */
export function trackRedis(client: IoRedis, keyStart: string, options: TrackingOptions): ChangeTracking {
  return new RedisTracking(client, keyPrefixOf(client) + keyStart, options)
}

class RedisTracking implements ChangeTracking {
  readonly attempted: Promise<unknown>
  readonly #client: IoRedis
  readonly #cluster: RedisCluster | null
  readonly #prefix: string
  readonly #options: TrackingOptions
  readonly #timer: NodeJS.Timeout
  /** By the name of the server, see {@link nodeKeyOf}. */
  readonly #tracked = new Map<string, TrackedServer>()
  /** The master of each slot at the last call of {@link isCurrent} for a user of the slot. */
  #owners: (string | undefined)[] = []
  #refreshAt = Number.NEGATIVE_INFINITY

  constructor(client: IoRedis, prefix: string, options: TrackingOptions) {
    this.#client = client
    this.#cluster = isCluster(client) ? client : null
    this.#prefix = prefix
    this.#options = options
    this.#check()
    this.attempted = Promise.all(Array.from(this.#tracked.values(), ({ attempted }) => attempted))
    this.#timer = setInterval(() => this.#check(), options.maxStaleMs / 4).unref()
  }

  isCurrent(tag: string): boolean {
    const name = this.#cluster === null ? SOLE_SERVER : this.#ownerOf(this.#cluster, tag)
    return name !== undefined && (this.#tracked.get(name)?.currentUntil ?? 0) > performance.now()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const server of this.#tracked.values()) server.close()
  }

  /**
   * The master of the user's slot. Undefined when the master is unknown or has changed: a change empties the cache,
   * because the former master no longer notifies of changes. A Cluster that moves whole slots (Redis 8.4, Valkey 9)
   * sends no notification for the moved keys.
   */
  #ownerOf(cluster: RedisCluster, tag: string): string | undefined {
    const slot = slotOf(tag)
    const owner = cluster.slots[slot]?.[0]
    if (owner === this.#owners[slot]) return owner
    this.#noteOwners(cluster)
    this.#options.onChange(null)
    return undefined
  }

  #noteOwners({ slots }: RedisCluster): void {
    this.#owners = slots.map((nodes) => nodes[0])
  }

  /** Starts to track new masters, stops to track former masters, and sends the heartbeat to tracked masters. */
  #check(): void {
    if (this.#cluster !== null) this.#checkSlots(this.#cluster)
    const masters = new Map(mastersOf(this.#client).map((server) => [this.#nameOf(server), server]))
    for (const [name, tracked] of this.#tracked) {
      if (masters.get(name) === tracked.server) continue
      tracked.close()
      this.#tracked.delete(name)
    }
    const now = performance.now()
    for (const [name, server] of masters) {
      const tracked = this.#tracked.get(name)
      if (tracked === undefined || (tracked.retryAt ?? Number.POSITIVE_INFINITY) < now) {
        this.#tracked.set(name, new TrackedServer(server, this.#trackedServerOptions(name)))
      } else tracked.check()
    }
  }

  #nameOf(server: RedisServer): string {
    return this.#cluster === null ? SOLE_SERVER : nodeKeyOf(server)
  }

  /** A slot may move while its former master is healthy, so the client must refresh the slots within `maxStaleMs`. */
  #checkSlots(cluster: RedisCluster): void {
    const { maxStaleMs } = this.#options
    if (this.#owners.length === 0) this.#noteOwners(cluster)
    const now = performance.now()
    if ((cluster.options.slotsRefreshInterval || Number.POSITIVE_INFINITY) <= maxStaleMs || now < this.#refreshAt)
      return
    this.#refreshAt = now + maxStaleMs / 2
    cluster.refreshSlotsCache()
  }

  #trackedServerOptions(name: string): TrackedServerOptions {
    const { maxStaleMs, onChange, onRefused } = this.#options
    const prefix = this.#prefix
    const tagStart = Buffer.byteLength(prefix)
    const options: TrackedServerOptions = {
      prefix,
      maxStaleMs,
      onRefused,
      onChange(keys) {
        if (keys === null) onChange(null)
        else for (const key of keys) if (!isOfTokens(key)) onChange(sessionTag(key.toString('latin1', tagStart)))
      }
    }
    const cluster = this.#cluster
    if (cluster === null) return options
    return {
      ...options,
      slots: { findKey: () => `${prefix}${tagOnServer(cluster, name)}}`, onLost: () => cluster.refreshSlotsCache() }
    }
  }
}

/** The tokens of a session are no part of the session: a refresh must not empty the caches of all processes. */
function isOfTokens(key: Buffer): boolean {
  return key.toString('latin1', key.length - TOKENS_SUFFIX.length) === TOKENS_SUFFIX
}

const SOLE_SERVER = ''
