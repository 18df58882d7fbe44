import { userTagOf } from '../session-id.js'
import type { SessionStore } from './session-store.js'

/** The part of an ioredis `Redis` or `Cluster` client that the store uses: SET, GET and DEL. */
export interface RedisClient {
  set(key: string, value: string, unit: 'PX', ttlMs: number): Promise<unknown>
  get(key: string): Promise<string | null>
  del(key: string): Promise<number>
}

/**
 * Sessions in Redis, one string each with its own TTL. The client is used as it is and never closed; its `keyPrefix`
 * applies. Each operation is one command.
 */
export function createRedisStore(client: RedisClient): SessionStore {
  return {
    async create(id, record, ttlMs) {
      await client.set(keyOf(id), record, 'PX', ttlMs)
    },
    async find(id) {
      try {
        return await client.get(keyOf(id))
      } catch (error) {
        // Redis answered: there is a list or a hash under the key, which is no session of ours.
        if (error instanceof Error && error.message.startsWith('WRONGTYPE ')) return null
        throw error
      }
    },
    async delete(id) {
      await client.del(keyOf(id))
    }
  }
}

/** The braces put all sessions of a user into one Cluster slot. */
function keyOf(id: string): string {
  const tag = userTagOf(id)
  return `jwt-session:{${tag}}${id.slice(tag.length)}`
}
