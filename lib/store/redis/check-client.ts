import { warn } from '../../internal/warn.js'
import { type IoRedis, isCluster, isIoRedis, mastersOf, type RedisCluster, type RedisServer } from './client.js'

/** More is more time than a request has. */
const MAX_RETRIES = 3
/** Beyond these an automatic pipeline with one command for a slot that is being moved blocks its master. */
const MAX_REDIRECTIONS = 3
const MAX_TRY_AGAIN_DELAY_MS = 10

const checked = new WeakSet<object>()

/**
 * Warns of settings of an injected client with which a request waits for a Redis that hangs, the client stays with a
 * master that was replaced, or one slot stops a whole master. Once per client.
 *
 * @param maxStaleMs of the option `cache`, when it is on
 */
export function checkSettings(client: object, maxStaleMs?: number): void {
  if (!isIoRedis(client) || checked.has(client)) return
  checked.add(client)
  const wrong = isCluster(client)
    ? [...wrongOfAny(client), ...wrongOfCluster(client, maxStaleMs)]
    : [...wrongOfAny(client), ...wrongOfServer(client)]
  if (wrong.length === 0) return
  warn(
    'FST_JWT_SESSION_REDIS_SETTINGS',
    `The settings of this Redis client are not made for requests: ${wrong.join('; ')}. Requests are answered 503 in time ` +
      'all the same. See lib/store/redis/README.md of fastify-jwt-session.'
  )
}

function wrongOfAny(client: IoRedis): string[] {
  const { options } = client
  const { commandTimeout, maxRetriesPerRequest } = isCluster(client)
    ? { ...options, ...client.options.redisOptions }
    : client.options
  const wrong: string[] = []
  if (options.enableOfflineQueue !== false) wrong.push('`enableOfflineQueue` is not false, so commands queue up')
  if ((maxRetriesPerRequest ?? Number.POSITIVE_INFINITY) > MAX_RETRIES) {
    wrong.push(`\`maxRetriesPerRequest\` is over ${MAX_RETRIES}, so commands queue up`)
  }
  if (commandTimeout === undefined) wrong.push('`commandTimeout` is not set, so a Redis that hangs is waited for')
  return wrong
}

function wrongOfServer({ options }: RedisServer): string[] {
  const wrong: string[] = []
  if (options.sentinels && !options.failoverDetector) {
    wrong.push('`failoverDetector` is not true, so a master that the sentinels have replaced may be kept')
  }
  if (typeof options.reconnectOnError !== 'function') {
    wrong.push('`reconnectOnError` is not set, so a master that has become a replica is kept')
  }
  return wrong
}

function wrongOfCluster({ options }: RedisCluster, maxStaleMs: number | undefined): string[] {
  const wrong: string[] = []
  const { slotsRefreshInterval, maxRedirections, retryDelayOnTryAgain } = options
  if (!slotsRefreshInterval) {
    wrong.push('`slotsRefreshInterval` is not set, so a master that hangs or was replaced is kept')
  } else if (maxStaleMs !== undefined && slotsRefreshInterval > maxStaleMs) {
    wrong.push(
      '`slotsRefreshInterval` is longer than `cache.maxStaleMs`, and for as long the cache may let in what has ended'
    )
  }
  if (options.enableAutoPipelining) {
    const [redirections, delayMs] = [Number(maxRedirections), Number(retryDelayOnTryAgain)]
    if (redirections > MAX_REDIRECTIONS || delayMs > MAX_TRY_AGAIN_DELAY_MS) {
      wrong.push(
        `with \`enableAutoPipelining\` \`maxRedirections\` is over ${MAX_REDIRECTIONS} or \`retryDelayOnTryAgain\` over ` +
          `${MAX_TRY_AGAIN_DELAY_MS}, so one slot that is being moved blocks its master`
      )
    }
  }
  return wrong
}

/**
 * Warns of settings of the servers with which live sessions are lost or ended ones are let in, as far as Redis shows
 * these settings to this client. Never rejects.
 */
export async function checkServers(client: object): Promise<void> {
  if (!isIoRedis(client)) return
  await Promise.all([checkEviction(client), isCluster(client) && checkReadsWhenDown(client)])
}

async function checkEviction(client: IoRedis): Promise<void> {
  const policies = await Promise.all(mastersOf(client).map(readPolicy))
  const policy = policies.find((name) => name !== undefined && name !== 'noeviction')
  if (policy === undefined) return
  warn(
    'FST_JWT_SESSION_REDIS_EVICTION',
    `Redis drops live sessions without a word when its memory is full: \`maxmemory-policy\` is ${policy}, not noeviction` +
      `${policy.startsWith('volatile-') ? ', and every key of a session has a TTL' : ''}. When the record of a session ` +
      'is dropped its user is logged out with the reason `unknown`, and when the head of a user is, in all browsers; ' +
      'each browser deletes its data.'
  )
}

/** Undefined when the server is away, or does not show it to this client. */
async function readPolicy(server: RedisServer): Promise<string | undefined> {
  const text = await server.info('memory').catch(() => '')
  return /maxmemory_policy:([\w-]+)/.exec(text)?.[1]
}

async function checkReadsWhenDown(cluster: RedisCluster): Promise<void> {
  const replies = await Promise.all(
    mastersOf(cluster).map((master) => master.config('GET', READS_WHEN_DOWN).catch(() => null))
  )
  // Name and value: in a list, or with RESP3's replies in an object.
  if (!replies.some((reply) => Object.values(reply ?? []).includes('yes'))) return
  warn(
    'FST_JWT_SESSION_REDIS_CLUSTER',
    `\`${READS_WHEN_DOWN}\` is yes: a master that the Cluster has replaced goes on to be read from, and lets in sessions ` +
      'that have ended. Set it to no.'
  )
}

const READS_WHEN_DOWN = 'cluster-allow-reads-when-down'
