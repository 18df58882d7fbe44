/** The longest pause between two attempts to connect, in milliseconds. */
export const LONGEST_PAUSE_MS = 250

/** `retryStrategy` of clients that the plugin opens: no pause before the first attempt, because requests wait. */
export function pauseBefore(attempt: number): number {
  return Math.min((attempt - 1) * 50, LONGEST_PAUSE_MS)
}
