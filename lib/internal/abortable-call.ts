import { createTimeoutError, startWork } from './deadline.js'

/**
 * A call with an `AbortSignal` and a timeout. The timer does not keep the process alive.
 *
 * Not `AbortSignal.timeout()` or `AbortSignal.any()`: Node.js 20 may collect such signals as garbage before the abort.
 */
export class AbortableCall {
  readonly #timeoutMs: number
  /** Set by the abort. */
  #reason: Error | undefined
  #onAbort: ((reason: Error) => void) | undefined
  #controller: AbortController | undefined
  #timer: NodeJS.Timeout | undefined
  /** The call and the work added with {@link waitUntil}, until settled. */
  #pending = 0
  /** Set while the call is pending. */
  #reject: ((reason: Error) => void) | undefined
  #hasTimedOut = false

  /** @param timeoutMs milliseconds from the start of {@link run}, 1 to 2 147 483 647 */
  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /** Aborted by the timeout or by {@link abort}. Created on first use: a signal costs 20 µs in Node.js 20. */
  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      this.#controller = new AbortController()
      if (this.#reason !== undefined) this.#controller.abort(this.#reason)
    }
    return this.#controller.signal
  }

  /** Whether the timeout came before the call had settled. */
  get hasTimedOut(): boolean {
    return this.#hasTimedOut
  }

  /**
   * Runs the work, once. The timeout aborts the signal. Work that settles within the same turn of the event loop still
   * gives the result; otherwise the call rejects with the code `ETIMEDOUT`, and a later result is ignored.
   */
  run<T>(work: () => Promise<T>): Promise<T> {
    // After a busy turn of the event loop timers run before I/O: a response received in time is read before `#expire`.
    this.#timer = setTimeout(() => setImmediate(() => this.#expire()), this.#timeoutMs).unref()
    return new Promise((resolve, reject) => {
      this.#reject = reject
      this.#pending++
      const settle = () => {
        this.#reject = undefined
        this.#settle()
      }
      startWork(work).then(
        (value) => {
          settle()
          resolve(value)
        },
        (error: unknown) => {
          settle()
          reject(error)
        }
      )
    })
  }

  /** Calls the listener at the abort, or at once after the abort. A call has one listener: a further one replaces it. */
  onAbort(listener: (reason: Error) => void): void {
    this.#onAbort = listener
    if (this.#reason !== undefined) listener(this.#reason)
  }

  /** Adds work that may outlast the call, such as draining a body. The timeout aborts the signal for the work too. */
  waitUntil(work: Promise<unknown>): void {
    this.#pending++
    const settle = () => this.#settle()
    work.then(settle, settle)
  }

  /**
   * Aborts a pending call, which rejects with the reason. Without effect on a settled call and added work: then no
   * reason is created, because an error costs as much as a small query.
   */
  abort(createReason: () => Error): void {
    const reject = this.#reject
    if (reject === undefined) return
    const reason = createReason()
    this.#reject = undefined
    this.#abort(reason)
    setImmediate(reject, reason)
  }

  #settle(): void {
    if (--this.#pending === 0) clearTimeout(this.#timer)
  }

  #expire(): void {
    if (this.#pending === 0) return
    this.#hasTimedOut = this.#reject !== undefined
    if (this.#hasTimedOut) this.abort(createTimeoutError)
    else this.#abort(createTimeoutError())
  }

  #abort(reason: Error): void {
    this.#reason = reason
    this.#onAbort?.(reason)
    this.#controller?.abort(reason)
  }
}
