import type { SessionStore } from './session-store.js'

interface Entry {
  record: string
  expiresAt: number
  timer: NodeJS.Timeout
}

// A longer delay overflows Node's timers, which then fire at once.
const LONGEST_DELAY_MS = 2 ** 31 - 1

/**
 * Sessions in this process's memory: for development, tests and applications of one process. They are gone when it
 * exits. An entry gives its memory back when it is deleted or expires. `close()` forgets them all.
 */
export function createMemoryStore(): SessionStore & { close(): void } {
  const entries = new Map<string, Entry>()

  function forget(id: string): void {
    clearTimeout(entries.get(id)?.timer)
    entries.delete(id)
  }

  /** The timer frees memory; whether a session has expired is for the clock to say, in find(). */
  function startTimer(id: string, expiresAt: number): NodeJS.Timeout {
    const delayMs = Math.min(expiresAt - Date.now(), LONGEST_DELAY_MS)
    return setTimeout(() => {
      const entry = entries.get(id)
      if (entry !== undefined && entry.expiresAt > Date.now()) entry.timer = startTimer(id, expiresAt)
      else entries.delete(id)
    }, delayMs).unref()
  }

  return {
    async create(id, record, ttlMs) {
      forget(id)
      const expiresAt = Date.now() + ttlMs
      entries.set(id, { record, expiresAt, timer: startTimer(id, expiresAt) })
    },
    async find(id) {
      const entry = entries.get(id)
      return entry !== undefined && entry.expiresAt > Date.now() ? entry.record : null
    },
    async delete(id) {
      forget(id)
    },
    close() {
      for (const id of entries.keys()) forget(id)
    }
  }
}
