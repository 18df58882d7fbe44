import { InvalidOptionError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'
import { isCluster, keyPrefixOf, type RedisClient } from '../store/redis/client.js'
import type { RedisChoice } from '../store/store-config.js'
import { hasMethods } from './checks.js'
import type { RedisOptions } from './options.js'

/** @throws {InvalidOptionError} the message has no password or host */
export function resolveRedis(redis: RedisClient | RedisOptions): RedisChoice {
  // Only ioredis has defineCommand(): other clients take the arguments of a script in another form.
  if (hasMethods<RedisClient & { defineCommand: unknown }>(redis, 'mget', 'eval', 'evalsha', 'defineCommand')) {
    checkReadsFromMaster(redis)
    checkKeyPrefix(redis)
    return { kind: 'redis-client', client: redis }
  }
  const options = checkRedisOptions(redis)
  checkReadsFromMaster({ options })
  return { kind: 'redis-options', options: { ...options } }
}

/**
 * Braces in a key prefix would be the hash tag of every key: the sessions of all users would share one slot and master.
 */
function checkKeyPrefix(client: object): void {
  if (isCluster(client) && /[{}]/.test(keyPrefixOf(client))) {
    throw new InvalidOptionError('redis', 'must have no braces in the `keyPrefix` of a Cluster')
  }
}

/** A lagging replica lacks new sessions: the plugin would report live sessions as ended. */
function checkReadsFromMaster(client: object): void {
  const { options = {} } = client as { options?: { scaleReads?: unknown; role?: unknown } }
  const { scaleReads = 'master', role = 'master' } = options
  if (scaleReads !== 'master' || role !== 'master') {
    throw new InvalidOptionError('redis', 'must read from masters: `scaleReads` or `role` must be `master`')
  }
}

function checkRedisOptions(redis: RedisClient | RedisOptions): RedisOptions {
  if (!hasAddress(redis)) {
    throw new InvalidOptionError('redis', `must be an ioredis client, or options with one of ${ADDRESSES.join(', ')}`)
  }
  // @fastify/redis has options with these names.
  const reserved = ['client', 'closeClient', 'namespace'].find((key) => key in redis)
  if (reserved !== undefined) throw new InvalidOptionError(`redis.${reserved}`, 'is not known')
  // ioredis would send SELECT NaN, and end the process with an unhandled rejection.
  if (redis.db !== undefined && !(Number.isInteger(redis.db) && Number(redis.db) >= 0)) {
    throw new InvalidOptionError('redis.db', 'must be an integer from 0')
  }
  if (typeof redis.url === 'string' && /^rediss?:\/\/[^/]*\/(?!\d*(?:[?#]|$))/.test(redis.url)) {
    throw new InvalidOptionError('redis.url', 'must have no path other than the number of a database')
  }
  return redis
}

const ADDRESSES = ['url', 'host', 'path', 'sentinels'] as const

function hasAddress(redis: object): redis is RedisOptions {
  const options: RedisOptions = isPlainObject(redis) ? redis : {}
  return ADDRESSES.some((key) => options[key] !== undefined)
}
