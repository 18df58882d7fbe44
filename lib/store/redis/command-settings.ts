/**
 * Settings of ioredis for every connection of the plugin's own: no command waits longer than `timeoutMs`, in milliseconds,
 * and ioredis sends none again.
 */
export function commandSettings(timeoutMs: number) {
  return {
    commandTimeout: timeoutMs,
    disconnectTimeout: timeoutMs,
    sentinelCommandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false
  }
}
