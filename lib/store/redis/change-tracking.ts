import { splitSessionId } from '../../model/session-id.js'
import type { ChangeTracking, TrackingOptions } from '../session-store.js'
import { type FollowedServer, followServer, type Server } from './tracking-connection.js'

/** The part of an ioredis `Redis` or `Cluster` client that this file uses. */
export type TrackableClient = { options: { keyPrefix?: string } } & (Server | { nodes(role: 'master'): Server[] })

/**
 * What the servers behind the client tell of changes to keys that start with `keyStart` and a user's tag.
 */
export function trackRedis(
  client: TrackableClient,
  keyStart: string,
  { maxStaleMs, onChange, onRefused }: TrackingOptions
): ChangeTracking {
  const prefix = (client.options.keyPrefix ?? '') + keyStart
  const tagStart = Buffer.byteLength(prefix)
  const options = {
    prefix,
    maxStaleMs,
    onRefused,
    onChange(keys: Buffer[] | null) {
      if (keys === null) onChange(null)
      else for (const key of keys) onChange(splitSessionId(key.toString('latin1', tagStart))[0])
    }
  }
  const followed = new Map<Server, FollowedServer>()

  /** Follows the masters of now, and asks those that are followed whether they are still there. */
  function check(): void {
    const servers = 'nodes' in client ? client.nodes('master') : [client]
    for (const [server, { close }] of followed) {
      if (servers.includes(server)) continue
      close()
      followed.delete(server)
    }
    for (const server of servers) {
      const known = followed.get(server)
      if (known === undefined || (known.retryAt ?? Number.POSITIVE_INFINITY) < performance.now()) {
        followed.set(server, followServer(server, options))
      } else known.check()
    }
  }

  check()
  const timer = setInterval(check, maxStaleMs / 4).unref()

  return {
    attempted: Promise.all(Array.from(followed.values(), ({ attempted }) => attempted)),
    isCurrent() {
      const now = performance.now()
      for (const { currentUntil } of followed.values()) if (currentUntil <= now) return false
      return followed.size > 0
    },
    close() {
      clearInterval(timer)
      for (const { close } of followed.values()) close()
    }
  }
}
