import { splitSessionId } from '../../model/session-id.js'
import type { ChangeTracking, TrackingOptions } from '../session-store.js'
import { type IoRedis, isCluster, keyPrefixOf, mastersOf, type RedisCluster, type RedisServer } from './client.js'
import { nodeKeyOf, slotOf, tagOnServer } from './cluster-slots.js'
import { FollowedServer, type FollowOptions } from './tracking-connection.js'

/**
 * Notifies of changes to keys that start with the client's `keyPrefix`, `keyStart` and a user's tag, by any client.
 * Neither the client nor its connections are changed.
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
  readonly #followed = new Map<string, FollowedServer>()
  /** The master of each slot when it was asked last whether the slot's users are current. */
  #owners: (string | undefined)[] = []
  #refreshAt = Number.NEGATIVE_INFINITY

  constructor(client: IoRedis, prefix: string, options: TrackingOptions) {
    this.#client = client
    this.#cluster = isCluster(client) ? client : null
    this.#prefix = prefix
    this.#options = options
    this.#check()
    this.attempted = Promise.all(Array.from(this.#followed.values(), ({ attempted }) => attempted))
    this.#timer = setInterval(() => this.#check(), options.maxStaleMs / 4).unref()
  }

  isCurrent(tag: string): boolean {
    const name = this.#cluster === null ? SOLE_SERVER : this.#ownerOf(this.#cluster, tag)
    return name !== undefined && (this.#followed.get(name)?.currentUntil ?? 0) > performance.now()
  }

  close(): void {
    clearInterval(this.#timer)
    for (const server of this.#followed.values()) server.close()
  }

  /**
   * The master of the user's slot. Undefined when none is known, or when it is another one than before: what was read
   * from the former master is forgotten then, since no one notifies of changes to it any more. A Cluster that moves slots
   * without their keys (Redis 8.4, Valkey 9) says nothing of the keys that have gone.
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

  /** Follows the masters of now, and sends the heartbeat to those that are followed. */
  #check(): void {
    if (this.#cluster !== null) this.#checkSlots(this.#cluster)
    const masters = new Map(mastersOf(this.#client).map((server) => [this.#nameOf(server), server]))
    for (const [name, followed] of this.#followed) {
      if (masters.get(name) === followed.server) continue
      followed.close()
      this.#followed.delete(name)
    }
    const now = performance.now()
    for (const [name, server] of masters) {
      const followed = this.#followed.get(name)
      if (followed === undefined || (followed.retryAt ?? Number.POSITIVE_INFINITY) < now) {
        this.#followed.set(name, new FollowedServer(server, this.#followOptions(name)))
      } else followed.check()
    }
  }

  #nameOf(server: RedisServer): string {
    return this.#cluster === null ? SOLE_SERVER : nodeKeyOf(server)
  }

  /** A slot may be moved while its former master is well: the client has to know within `maxStaleMs`. */
  #checkSlots(cluster: RedisCluster): void {
    const { maxStaleMs } = this.#options
    if (this.#owners.length === 0) this.#noteOwners(cluster)
    const now = performance.now()
    if ((cluster.options.slotsRefreshInterval || Number.POSITIVE_INFINITY) <= maxStaleMs || now < this.#refreshAt)
      return
    this.#refreshAt = now + maxStaleMs / 2
    cluster.refreshSlotsCache()
  }

  #followOptions(name: string): FollowOptions {
    const { maxStaleMs, onChange, onRefused } = this.#options
    const prefix = this.#prefix
    const tagStart = Buffer.byteLength(prefix)
    const options: FollowOptions = {
      prefix,
      maxStaleMs,
      onRefused,
      onChange(keys) {
        if (keys === null) onChange(null)
        else for (const key of keys) onChange(splitSessionId(key.toString('latin1', tagStart))[0])
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

const SOLE_SERVER = ''
