const PAUSE_MS = 60_000
/** Beyond this number the oldest text is forgotten. */
const MAX_TEXTS = 100

/** The log of an application. */
export interface Log {
  error(text: string): void
  warn(text: string): void
}

/** Logs each text at most once a minute, for what may happen with every request. */
export class MinuteLog {
  readonly #log: Log
  readonly #loggedAt = new Map<string, number>()

  constructor(log: Log) {
    this.#log = log
  }

  error(text: string): void {
    if (this.#isNew(text)) this.#log.error(text)
  }

  warn(text: string): void {
    if (this.#isNew(text)) this.#log.warn(text)
  }

  #isNew(text: string): boolean {
    const now = performance.now()
    const loggedAt = this.#loggedAt.get(text)
    if (loggedAt !== undefined && now - loggedAt < PAUSE_MS) return false
    this.#loggedAt.delete(text)
    const [oldest] = this.#loggedAt.keys()
    if (oldest !== undefined && this.#loggedAt.size >= MAX_TEXTS) this.#loggedAt.delete(oldest)
    this.#loggedAt.set(text, now)
    return true
  }
}
