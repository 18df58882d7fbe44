import { splitSessionId } from '../../model/session-id.js'
import { KEPT_AFTER_LIFE_MS, type SessionStore } from '../session-store.js'
import { createSharedMget } from './batched-mget.js'
import { type TrackableClient, trackRedis } from './change-tracking.js'
import { SCRIPT, SCRIPT_SHA } from './session-script.js'

/** The part of an ioredis `Redis` or `Cluster` client that the store uses. */
export interface RedisClient {
  mget(...keys: string[]): Promise<(string | null)[]>
  evalsha(sha: string, numberOfKeys: number, ...keysAndArguments: string[]): Promise<unknown>
  eval(source: string, numberOfKeys: number, ...keysAndArguments: string[]): Promise<unknown>
}

/**
 * Sessions in Redis 6 or later, one string each with its own TTL, all of a user's in one Cluster slot. The client is
 * used as it is and never closed; its `keyPrefix` applies. Each operation is one command.
 */
export function createRedisStore(client: RedisClient): SessionStore {
  const mget = (...keys: string[]) => client.mget(...keys)
  // The keys of one command must share a slot of a Cluster.
  const read = 'nodes' in client ? mget : createSharedMget(mget)

  async function run(tag: string, operation: string, ...args: string[]): Promise<unknown> {
    const keyAndArguments = [indexOf(tag), String(Date.now()), operation, ...args]
    try {
      return await client.evalsha(SCRIPT_SHA, 1, ...keyAndArguments)
    } catch (error) {
      // A server that has not seen the script yet, or no longer knows it.
      if (!(error instanceof Error && error.message.startsWith('NOSCRIPT '))) throw error
      return client.eval(SCRIPT, 1, ...keyAndArguments)
    }
  }

  return {
    async create(id, record, lifeMs, limit) {
      const [tag, random] = splitSessionId(id)
      const limits = [String(limit?.max ?? ''), limit?.evictionReason ?? '']
      return isYes(await run(tag, 'create', random, record, ttlOf(lifeMs), ...limits))
    },
    async find(id) {
      const [tag, random] = splitSessionId(id)
      const index = indexOf(tag)
      const [first, own] = await read(`${index}0`, index + random)
      const value = first?.startsWith(random) ? first : own
      return value?.slice(random.length + 1) ?? null
    },
    async replace(id, record, next, lifeMs) {
      const [tag, random] = splitSessionId(id)
      return isYes(await run(tag, 'replace', random, record, next, ttlOf(lifeMs)))
    },
    async end(id, reason) {
      const [tag, random] = splitSessionId(id)
      await run(tag, 'finish', random, reason)
    },
    async endAll(tag, reason, exceptId) {
      const [exceptTag, except] = splitSessionId(exceptId ?? '')
      await run(tag, 'finishAll', exceptTag === tag ? except : '', reason)
    },
    async list(tag) {
      const values = (await run(tag, 'list')) as string[]
      return values.map((value) => {
        const end = value.indexOf(' ')
        return { id: tag + value.slice(0, end), record: value.slice(end + 1) }
      })
    },
    track: (options) => trackRedis(client as RedisClient & TrackableClient, KEY_START, options)
  }
}

/** What every key starts with, behind the client's `keyPrefix`. */
const KEY_START = 'fjs:{'

/** The braces put all keys of a user into one Cluster slot. */
function indexOf(tag: string): string {
  return `${KEY_START}${tag}}`
}

/** With `stringNumbers` ioredis answers numbers as strings. */
function isYes(answer: unknown): boolean {
  return String(answer) === '1'
}

function ttlOf(lifeMs: number): string {
  return String(lifeMs + KEPT_AFTER_LIFE_MS)
}
