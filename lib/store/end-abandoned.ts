import { setTimeout as delay } from 'node:timers/promises'

const PAUSE_MS = 1_000

/**
 * Ends sessions that were opened without anybody being told: they would be listed, and count. As the connection may be
 * gone just now, it tries again until the store has been told, or such a session is over by itself.
 */
export function createUndo(end: (id: string) => Promise<void>): (id: string, lifeMs: number) => void {
  /** With the epoch milliseconds at which they are over. */
  const opened = new Map<string, number>()
  let isAtWork = false

  async function endOpened(): Promise<void> {
    isAtWork = true
    while (opened.size > 0) {
      // Those that come meanwhile are met too.
      for (const [id, overAt] of opened) {
        const isTold = await tell(id)
        if (isTold || overAt <= Date.now()) opened.delete(id)
        if (!isTold) await delay(PAUSE_MS, undefined, { ref: false })
      }
    }
    isAtWork = false
  }

  async function tell(id: string): Promise<boolean> {
    try {
      await end(id)
      return true
    } catch {
      return false
    }
  }

  return (id, lifeMs) => {
    opened.set(id, Date.now() + lifeMs)
    if (!isAtWork) void endOpened()
  }
}
