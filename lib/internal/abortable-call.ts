import { createTimeoutError } from './deadline.js'

/**
 * One call of something that obeys an `AbortSignal`, with the time that it may take: one controller and one timer, which
 * does not keep the process alive.
 *
 * Not `AbortSignal.timeout()` or `AbortSignal.any()`: Node.js 20 may collect such a signal as garbage, and then it is
 * never aborted.
 */
export class AbortableCall {
  readonly #timeoutMs: number
  readonly #controller = new AbortController()
  #timer: NodeJS.Timeout | undefined
  /** The call, and what goes on after it. */
  #pending = 0
  /** Undefined when there is nothing to reject, before the call and after it. */
  #reject: ((reason: Error) => void) | undefined
  #isOverdue = false

  /** @param timeoutMs milliseconds from {@link run}: 1 to 2 147 483 647 */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /** Aborted when the time has passed, or by {@link abort}. */
  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** Whether the time had passed before the call settled. */
  get isOverdue(): boolean {
    return this.#isOverdue
  }

  /**
   * Runs the work, once. When the time has passed, the signal is aborted, and the result is what the work settles with in
   * the same turn of the event loop, or else a rejection with the code `ETIMEDOUT`. A later result is ignored.
   */
  async run<T>(work: () => Promise<T>): Promise<T> {
    // In a process that was busy for so long, timers come first: a reply that has arrived meanwhile is read before this.
    this.#timer = setTimeout(() => setImmediate(() => this.#expire()), this.#timeoutMs).unref()
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#reject = reject
        const result = (async () => work())()
        result.then(resolve, reject)
        this.waitUntil(result)
      })
    } finally {
      this.#reject = undefined
    }
  }

  /** Work that goes on after the call, such as reading away a body: the signal is aborted too when its time has passed. */
  waitUntil(work: Promise<unknown>): void {
    this.#pending++
    const settle = () => {
      if (--this.#pending === 0) clearTimeout(this.#timer)
    }
    work.then(settle, settle)
  }

  /** Aborts the call: it settles as when its time has passed, but for the reason. Not what goes on after the call. */
  abort(reason: Error): void {
    if (this.#reject === undefined) return
    this.#controller.abort(reason)
    setImmediate(this.#reject, reason)
  }

  #expire(): void {
    if (this.#pending === 0) return
    this.#isOverdue = this.#reject !== undefined
    const reason = createTimeoutError()
    if (this.#isOverdue) this.abort(reason)
    else this.#controller.abort(reason)
  }
}
