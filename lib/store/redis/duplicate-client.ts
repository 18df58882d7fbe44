import { type IoRedis, isCluster, type RedisCluster } from './client.js'
import { commandSettings } from './command-settings.js'
import { keepConnecting } from './keep-connecting.js'
import { pauseBefore } from './reconnect-pause.js'

/** How a further connection differs from that of the client. */
export interface DuplicateOptions {
  /** Milliseconds that a command may take. */
  timeoutMs: number
  /** Whether a command waits for a connection that is being made. */
  enableOfflineQueue: boolean
}

/**
 * A further connection to where the client is connected, with settings fit for a request path: no command waits longer
 * than `timeoutMs`, or is sent again by ioredis. The caller disconnects it.
 */
export function duplicateClient<Client extends IoRedis>(client: Client, options: DuplicateOptions): IoRedis {
  const { timeoutMs, enableOfflineQueue } = options
  const redisOptions = {
    ...commandSettings(timeoutMs),
    // Both connections leave a replica together.
    reconnectOnError: null
  }
  const connection = isCluster(client)
    ? duplicateCluster(client, { lazyConnect: false, enableOfflineQueue, redisOptions })
    : client.duplicate({ lazyConnect: false, enableOfflineQueue, ...redisOptions, retryStrategy: pauseBefore })
  // A command that fails tells its caller. Without a listener ioredis prints the error.
  connection.on('error', () => {})
  if (!isCluster(client)) keepConnecting(connection)
  return connection
}

/**
 * A Cluster client that is disconnected while it refreshes its slots would refresh them on and on, and keep the process
 * alive. So ioredis does not do so by itself here.
 */
function duplicateCluster(client: RedisCluster, options: object): RedisCluster {
  const { slotsRefreshInterval } = client.options
  const connection = client.duplicate([], { ...options, slotsRefreshInterval: 0 })
  if (!slotsRefreshInterval) return connection
  const timer = setInterval(() => {
    // No event tells of a disconnect without nodes.
    if (connection.status === 'end' || connection.status === 'disconnecting') clearInterval(timer)
    else connection.refreshSlotsCache()
  }, slotsRefreshInterval).unref()
  return connection
}
