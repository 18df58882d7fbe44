/** Longest pause between two attempts to connect, in milliseconds. */
export const LONGEST_PAUSE_MS = 250

/** `retryStrategy` of the clients that are opened here: the first attempt at once, because requests wait for it. */
export function pauseBefore(attempt: number): number {
  return Math.min((attempt - 1) * 50, LONGEST_PAUSE_MS)
}
