import { warn } from '../../internal/warn.js'

/** An ioredis `Redis` or `Cluster` client, as far as this file uses it. */
export interface CheckedClient {
  options?: {
    enableOfflineQueue?: boolean
    maxRetriesPerRequest?: number | null
    commandTimeout?: number
    slotsRefreshInterval?: number
    redisOptions?: CheckedClient['options']
  }
  info?(section: string): Promise<string>
  nodes?(role: 'master'): CheckedClient[]
}

/** More is more time than a request has. */
const MAX_RETRIES = 3

const checked = new WeakSet<object>()

/** Warns of settings with which a request may wait for Redis, or a Redis that hangs is never given up. */
export function checkSettings(client: object): void {
  const { options, nodes } = client as CheckedClient
  if (options === undefined || checked.has(client)) return
  checked.add(client)
  const { commandTimeout, maxRetriesPerRequest } = { ...options, ...options.redisOptions }
  const wrong = [
    options.enableOfflineQueue !== false && '`enableOfflineQueue` is not false',
    (maxRetriesPerRequest ?? Number.POSITIVE_INFINITY) > MAX_RETRIES &&
      `\`maxRetriesPerRequest\` is over ${MAX_RETRIES}`,
    commandTimeout === undefined && '`commandTimeout` is not set',
    nodes && !options.slotsRefreshInterval && '`slotsRefreshInterval` is not set'
  ].filter((text) => typeof text === 'string')
  if (wrong.length === 0) return
  warn(
    'FST_JWT_SESSION_REDIS_SETTINGS',
    `With this client commands queue up while Redis does not answer: ${wrong.join(', ')}. ` +
      'Requests are answered 503 in time all the same; see "Reliability" in the README of fastify-jwt-session.'
  )
}

async function readPolicy(server: CheckedClient): Promise<string | undefined> {
  try {
    return /maxmemory_policy:([\w-]+)/.exec(`${await server.info?.('memory')}`)?.[1]
  } catch {
    // It is not there, or does not say.
    return undefined
  }
}

/** Warns of a Redis that drops live sessions when its memory is full, where it says so. */
export async function checkEviction(client: object): Promise<void> {
  const { nodes } = client as CheckedClient
  const servers: CheckedClient[] = nodes === undefined ? [client] : nodes.call(client, 'master')
  const policies = await Promise.all(servers.map(readPolicy))
  const policy = policies.find((name) => name !== undefined && name !== 'noeviction')
  if (policy === undefined) return
  warn(
    'FST_JWT_SESSION_REDIS_EVICTION',
    `Redis drops live sessions without a word when its memory is full: \`maxmemory-policy\` is ${policy}, not noeviction.`
  )
}
