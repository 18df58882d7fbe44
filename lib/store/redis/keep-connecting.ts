import type { RedisServer } from './client.js'

const PAUSE_MS = 250

/**
 * Reconnects a client that has ended, until `disconnect()` is called. ioredis ends a client permanently, in spite of
 * the `retryStrategy`, when the connection is closed while the client asks the sentinels for the master. The
 * `failoverDetector` causes this during a reconnect, and so does each `disconnect(true)`. Only for clients that the
 * plugin opens: an application may end its client on purpose.
 */
export function keepConnecting(client: RedisServer): void {
  let isClosed = false
  const disconnect = client.disconnect.bind(client)
  client.disconnect = (reconnect = false) => {
    if (!reconnect) isClosed = true
    disconnect(reconnect)
  }
  client.on('end', () => {
    setTimeout(() => {
      // A failed attempt emits `end` again.
      if (!isClosed && client.status === 'end') client.connect().catch(() => {})
    }, PAUSE_MS).unref()
  })
}
