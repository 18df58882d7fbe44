import { type IoRedis, isCluster, type RedisCluster, type RedisServer } from './client.js'
import { commandSettings } from './command-settings.js'
import { confirmMaster } from './confirm-master.js'
import { keepConnecting } from './keep-connecting.js'
import { pauseBefore } from './reconnect-pause.js'

/**
 * Opens another connection to the servers of the client, with settings for requests: no command waits longer than
 * `timeoutMs` milliseconds, and ioredis neither queues a command nor sends a command again. The connection is opened
 * again and again until the caller disconnects the new client, whatever the retry strategy of the client.
 */
export function duplicateClient(client: IoRedis, timeoutMs: number): IoRedis {
  const settings = { lazyConnect: false, enableOfflineQueue: false }
  const redisOptions = {
    ...commandSettings(timeoutMs),
    // The store reconnects both connections together when the master has become a replica.
    reconnectOnError: null
  }
  const connection = isCluster(client)
    ? duplicateCluster(client, { ...settings, redisOptions, clusterRetryStrategy: pauseBefore })
    : duplicateServer(client, { ...settings, ...redisOptions, retryStrategy: pauseBefore })
  // Commands reject with the errors. Without a listener ioredis would print the errors.
  connection.on('error', () => {})
  return connection
}

function duplicateServer(client: RedisServer, options: object): RedisServer {
  const connection = client.duplicate(options)
  keepConnecting(connection)
  confirmMaster(connection)
  return connection
}

/**
 * Refreshes the slots with a timer of this module: a Cluster client that is disconnected during its own refresh repeats
 * the refresh forever, and keeps the process alive.
 */
function duplicateCluster(client: RedisCluster, options: object): RedisCluster {
  const { slotsRefreshInterval } = client.options
  const connection = client.duplicate([], { ...options, slotsRefreshInterval: 0 })
  if (!slotsRefreshInterval) return connection
  const timer = setInterval(() => connection.refreshSlotsCache(), slotsRefreshInterval).unref()
  const disconnect = connection.disconnect.bind(connection)
  // Not by an event or the status: a disconnect without nodes emits no event, and with nodes the last status is `close`,
  // as during a reconnect.
  connection.disconnect = (reconnect = false) => {
    if (!reconnect) clearInterval(timer)
    disconnect(reconnect)
  }
  return connection
}
