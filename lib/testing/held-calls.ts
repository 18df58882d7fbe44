import { LONGEST_DELAY_MS } from '../internal/deadline.js'

/** Calls that wait, until their time is over or all calls are released. */
export class HeldCalls {
  readonly #held = new Set<() => void>()

  /**
   * Resolves after the time, at {@link release}, or when the signal is aborted. Never rejects.
   *
   * @param ms 0 to 2 147 483 647, or Infinity: until the release
   * @param signal not aborted yet. A wait with a signal keeps the process alive: a real connection would do so too
   */
  hold(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const end = () => {
        clearTimeout(timer)
        this.#held.delete(end)
        resolve()
      }
      const timer = Number.isFinite(ms) ? setTimeout(end, ms) : signal && setInterval(() => {}, LONGEST_DELAY_MS)
      this.#held.add(end)
      signal?.addEventListener('abort', end)
    })
  }

  /** Ends the wait of all calls. */
  release(): void {
    for (const end of this.#held) end()
  }
}
