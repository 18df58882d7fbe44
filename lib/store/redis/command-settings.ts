/**
 * Settings of ioredis for connections that the plugin opens: no command waits longer than `timeoutMs`, in milliseconds,
 * and ioredis never sends a command again.
 */
export function commandSettings(timeoutMs: number) {
  return {
    commandTimeout: timeoutMs,
    disconnectTimeout: timeoutMs,
    sentinelCommandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    // For options with another `maxRetriesPerRequest`: the first attempt of a failed write may have had an effect.
    autoResendUnfulfilledCommands: false
  }
}
