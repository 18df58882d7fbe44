import { InvalidOptionError } from '../errors.js'
import { LONGEST_DELAY_MS } from '../internal/deadline.js'
import { isRedisCode } from '../internal/redact-error.js'
import type { Downtime } from '../store/session-store.js'
import { HeldCalls } from './held-calls.js'

/**
 * The faults of a store, one at a time: each method ends the fault before. A call that waits when the fault changes
 * meets the next fault, or reaches the store.
 */
export interface StoreFaults {
  /**
   * Every call is rejected. Without a response the plugin's circuit breaker counts the calls, see `heal()`.
   *
   * @param code an upper-case word. A code of a Redis error reply, such as `OOM` or `LOADING`, is rejected as Redis
   * does, which is a response. Any other code is the `code` of the error, such as `ECONNREFUSED`
   * @throws {InvalidOptionError} not an upper-case word
   */
  fail(code: string): void
  /** No call is answered. With `heal()` the waiting calls reach the store, like commands in the socket of a stalled Redis. */
  hang(): void
  /**
   * Every call reaches the store late.
   *
   * @param ms milliseconds, 0 to 2 147 483 647. From `storeTimeoutMs` on (default 500) the plugin abandons each call
   * @throws {InvalidOptionError}
   */
  slow(ms: number): void
  /** Calls that write are rejected like by a Redis replica, with `READONLY`. Reads succeed. */
  readOnly(): void
  /**
   * Ends the fault. After 5 calls in a row without a response (`breaker.store.failures`) the circuit is open, and the
   * plugin notices the end with a probe: within 250 ms (`breaker.store.probeAfterMs`) answers may still be 503.
   */
  heal(): void
}

interface Fault {
  /** Milliseconds before a call continues. Infinity: until the fault ends. */
  waitMs: number
  /** The error of rejected calls. */
  error?: () => Error
  /** Whether reads succeed. */
  isReadOnly?: boolean
}

/** Times in epoch milliseconds. */
interface Period extends Fault {
  from: number
  /** Infinity: until now. */
  to: number
}

const NO_FAULT: Fault = { waitMs: 0 }
const CODE = /^[A-Z][A-Z0-9_]*$/

/** The state behind a faulty store. */
export class CurrentFault implements StoreFaults {
  readonly #held = new HeldCalls()
  readonly #periods: Period[] = []
  #fault = NO_FAULT

  fail(code: string): void {
    if (typeof code !== 'string' || !CODE.test(code)) {
      throw new InvalidOptionError('code', 'must be an upper-case word, such as `ECONNREFUSED` or `OOM`')
    }
    this.#start({ waitMs: 0, error: () => createError(code) })
  }

  hang(): void {
    this.#start({ waitMs: Number.POSITIVE_INFINITY })
  }

  slow(ms: number): void {
    if (!Number.isInteger(ms) || ms < 0 || ms > LONGEST_DELAY_MS) {
      throw new InvalidOptionError('ms', `must be an integer from 0 to ${LONGEST_DELAY_MS}`)
    }
    this.#start({ waitMs: ms })
  }

  readOnly(): void {
    this.#start({ waitMs: 0, isReadOnly: true, error: () => new Error(READ_ONLY) })
  }

  heal(): void {
    this.#start(NO_FAULT)
  }

  /** Resolves when the call may reach the store. @throws the error of the fault */
  async admit({ isWrite }: { isWrite: boolean }): Promise<void> {
    let fault: Fault
    do {
      fault = this.#fault
      if (fault.error !== undefined && (isWrite || !fault.isReadOnly)) throw fault.error()
      if (fault.waitMs > 0) await this.#held.hold(fault.waitMs)
    } while (fault !== this.#fault)
  }

  /** Whether changes of the store can reach this process. */
  get isConnected(): boolean {
    const { error, isReadOnly, waitMs } = this.#fault
    return (error === undefined || isReadOnly === true) && Number.isFinite(waitMs)
  }

  /**
   * The periods without a write, the oldest first.
   *
   * @param timeoutMs milliseconds after which a write counts as failed
   */
  downtime(now: number, timeoutMs: number): Downtime[] {
    const isDown = ({ error, waitMs }: Fault) => error !== undefined || waitMs >= timeoutMs
    return this.#periods.filter(isDown).map(({ from, to }) => ({ from, to: Math.min(to, now) }))
  }

  #start(fault: Fault): void {
    const now = Date.now()
    const last = this.#periods.at(-1)
    if (last !== undefined) last.to = now
    this.#periods.push({ ...fault, from: now, to: Number.POSITIVE_INFINITY })
    this.#fault = fault
    this.#held.release()
  }
}

const READ_ONLY = "READONLY You can't write against a read only replica."

/** An error reply of Redis has its code in the message only. */
function createError(code: string): Error {
  const error = new Error(`${code} of a faulty store`)
  return isRedisCode(code) ? error : Object.assign(error, { code })
}
