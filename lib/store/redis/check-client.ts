import { warn } from '../../internal/warn.js'
import { type IoRedis, isCluster, isIoRedis, mastersOf, type RedisCluster, type RedisServer } from './client.js'

/** More retries take longer than a request can wait. */
const MAX_RETRIES = 3
/** With larger values an automatic pipeline with a command for a migrating slot blocks its master. */
const MAX_REDIRECTIONS = 3
const MAX_TRY_AGAIN_DELAY_MS = 10

const checked = new WeakSet<object>()

/**
 * Warns, once per client, of settings of an injected client that make a request wait for a stalled Redis, that keep the
 * client on a replaced master, or that let one slot block a whole master.
 *
 * @param maxStaleMs `cache.maxStaleMs`, with the option `cache`
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
  if (commandTimeout === undefined) wrong.push('`commandTimeout` is not set, so requests wait for a stalled Redis')
  return wrong
}

function wrongOfServer({ options }: RedisServer): string[] {
  const wrong: string[] = []
  if (options.sentinels && !options.failoverDetector) {
    wrong.push('`failoverDetector` is not true, so the client may stay on a master that Sentinel has replaced')
  }
  if (typeof options.reconnectOnError !== 'function') {
    wrong.push('`reconnectOnError` is not set, so the client stays on a master that has become a replica')
  }
  return wrong
}

function wrongOfCluster({ options }: RedisCluster, maxStaleMs: number | undefined): string[] {
  const wrong: string[] = []
  const { slotsRefreshInterval, maxRedirections, retryDelayOnTryAgain } = options
  if (!slotsRefreshInterval) {
    wrong.push('`slotsRefreshInterval` is not set, so the client stays on a stalled or replaced master')
  } else if (maxStaleMs !== undefined && slotsRefreshInterval > maxStaleMs) {
    wrong.push(
      '`slotsRefreshInterval` is longer than `cache.maxStaleMs`, so the cache may let in ended sessions for that time'
    )
  }
  if (options.enableAutoPipelining) {
    const [redirections, delayMs] = [Number(maxRedirections), Number(retryDelayOnTryAgain)]
    if (redirections > MAX_REDIRECTIONS || delayMs > MAX_TRY_AGAIN_DELAY_MS) {
      wrong.push(
        `with \`enableAutoPipelining\` \`maxRedirections\` is over ${MAX_REDIRECTIONS} or \`retryDelayOnTryAgain\` over ` +
          `${MAX_TRY_AGAIN_DELAY_MS}, so one migrating slot blocks its master`
      )
    }
  }
  return wrong
}

/**
 * Warns of settings of the servers that lose live sessions or let in ended sessions, if Redis shows the settings to
 * this client. Never rejects.
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
    `Redis evicts live sessions without an error when its memory is full: \`maxmemory-policy\` is ${policy}, not noeviction` +
      `${policy.startsWith('volatile-') ? ', and every key of a session has a TTL' : ''}. The eviction of ` +
      'a record logs the user out in one browser, with the reason `unknown`; the eviction of the head of a user logs the ' +
      'user out in all browsers. Each browser deletes its data.'
  )
}

/** Undefined when the server does not respond, or does not show the setting to this client. */
async function readPolicy(server: RedisServer): Promise<string | undefined> {
  const text = await server.info('memory').catch(() => '')
  return /maxmemory_policy:([\w-]+)/.exec(text)?.[1]
}

async function checkReadsWhenDown(cluster: RedisCluster): Promise<void> {
  const replies = await Promise.all(
    mastersOf(cluster).map((master) => master.config('GET', READS_WHEN_DOWN).catch(() => null))
  )
  // A list of name and value, or an object with RESP3.
  if (!replies.some((reply) => Object.values(reply ?? []).includes('yes'))) return
  warn(
    'FST_JWT_SESSION_REDIS_CLUSTER',
    `\`${READS_WHEN_DOWN}\` is yes: a master that the Cluster has replaced still serves reads, and lets in ended ` +
      'sessions. Set the option to no.'
  )
}

const READS_WHEN_DOWN = 'cluster-allow-reads-when-down'
