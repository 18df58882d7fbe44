import type { RedisServer } from './client.js'

/** Longer than the two seconds in which a sentinel learns of a failover from the other sentinels. */
const CONFIRM_AFTER_MS = 3_000

/**
 * Connects a client with sentinels again, a few seconds after each reconnect. During a failover a sentinel may still
 * name the old master, and ioredis hears of no failover between this answer and its subscription to the sentinels: the
 * client would stay with an old master that still responds. Only for clients that the plugin opens.
 */
export function confirmMaster(client: RedisServer): void {
  if (!client.options.sentinels?.length) return
  let isFirst = true
  let confirmingSince = Number.NEGATIVE_INFINITY
  let timer: NodeJS.Timeout | undefined
  client.on('ready', () => {
    clearTimeout(timer)
    // A reconnect that takes longer has met another failure.
    const isConfirmed = isFirst || performance.now() - confirmingSince < CONFIRM_AFTER_MS
    isFirst = false
    if (!isConfirmed) timer = setTimeout(confirm, CONFIRM_AFTER_MS).unref()
  })

  function confirm(): void {
    // After the reconnect in progress `ready` starts the time again.
    if (client.status !== 'ready') return
    confirmingSince = performance.now()
    client.disconnect(true)
  }
}
