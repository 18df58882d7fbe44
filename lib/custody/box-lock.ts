import { randomBytes } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'

/** The stored text of a session: a box, or `lock|box` while a process refreshes the tokens in the box. */
export interface StoredBox {
  /** As stored, for the next compare and set. */
  readonly text: string
  /** The name of the refresh that holds the lock. */
  readonly lock: string | null
  readonly box: string
}

/** A name for the lock of one refresh. */
export function createLock(): string {
  return randomBytes(12).toString('base64url')
}

/** Parses the text of `readTokens()`. */
export function parseStoredBox(text: string): StoredBox {
  const end = text.indexOf('|')
  return end === -1 ? { text, lock: null, box: text } : { text, lock: text.slice(0, end), box: text.slice(end + 1) }
}

/** The text of a locked box. */
export function lockBox(box: string, lock: string): string {
  return `${lock}|${box}`
}

/**
 * Compare and sets of a stored text that may fail in a row. Each is due to a process that has taken or left the lock since
 * the read. More are the fault of a store, which would be called without an end.
 */
export const MAX_CONFLICTS = 10

const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 250

/**
 * Waits for the refresh of another process. Without a clock in the store the waiting process decides when a lock is
 * abandoned: when it has seen the same lock for longer than a refresh may take.
 */
export class LockWait {
  readonly #longestMs: number
  #lock: string | undefined
  #since = 0
  #pauseMs = FIRST_PAUSE_MS

  /** @param longestMs milliseconds for which a process that is alive holds a lock */
  constructor(longestMs: number) {
    this.#longestMs = longestMs
  }

  /** Notes the lock. True when the same lock was seen for `longestMs`. */
  isAbandoned(lock: string): boolean {
    const now = performance.now()
    if (lock !== this.#lock) {
      this.#lock = lock
      this.#since = now
    }
    return now - this.#since > this.#longestMs
  }

  /** Waits before the next read: longer each time, at most 250 ms. */
  async pause(): Promise<void> {
    await delay(this.#pauseMs)
    this.#pauseMs = Math.min(this.#pauseMs * 1.5, LONGEST_PAUSE_MS)
  }
}
