import type { IoRedis } from './client.js'

const PAUSE_MS = 250

/**
 * Connects the client again whenever it has ended, until `disconnect()` is called. ioredis ends a client for good, whatever
 * its `retryStrategy`, when its connection is closed while it asks the sentinels for the master: so does the
 * `failoverDetector` when the client reconnects already, and each `disconnect(true)`. For clients that are opened here: an
 * application may have ended its client on purpose.
 */
export function keepConnecting(client: IoRedis): void {
  let isClosed = false
  const disconnect = client.disconnect.bind(client)
  client.disconnect = (reconnect = false) => {
    if (!reconnect) isClosed = true
    disconnect(reconnect)
  }
  client.on('end', () => {
    setTimeout(() => {
      // A failed attempt is an `end` again.
      if (!isClosed && client.status === 'end') client.connect().catch(() => {})
    }, PAUSE_MS).unref()
  })
}
