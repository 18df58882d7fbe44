/**
 * Settings of ioredis for connections that the plugin opens: no command waits longer than `timeoutMs`, in milliseconds,
 * and ioredis never sends a command again, because `maxRetriesPerRequest: 0` rejects each command of a lost connection.
 */
export function commandSettings(timeoutMs: number) {
  return {
    commandTimeout: timeoutMs,
    disconnectTimeout: timeoutMs,
    sentinelCommandTimeout: timeoutMs,
    maxRetriesPerRequest: 0
  }
}
