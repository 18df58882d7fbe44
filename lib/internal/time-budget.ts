import { createDeadline, createTimeoutError, type Deadline, startWork, withDeadline } from './deadline.js'

/**
 * A time limit for a series of calls. Only the time while a call is pending is spent: not the time between two calls,
 * and the time of concurrent calls once.
 */
export class TimeBudget {
  /** Milliseconds at the start. */
  readonly totalMs: number
  #spentMs = 0
  #pending = 0
  /** Milliseconds of `performance.now()`: the start of the current period with pending calls. */
  #pendingSince = 0

  /** @param totalMs milliseconds. Budgets of equal length share a timer: use few different lengths in a process. */
  constructor(totalMs: number) {
    this.totalMs = totalMs
  }

  /** Milliseconds left; 0 below one millisecond, the precision of a timer. */
  get leftMs(): number {
    const pendingMs = this.#pending === 0 ? 0 : performance.now() - this.#pendingSince
    const leftMs = this.totalMs - this.#spentMs - pendingMs
    return leftMs < 1 ? 0 : leftMs
  }

  /** A separate budget with the same time left. */
  fork(): TimeBudget {
    const fork = new TimeBudget(this.totalMs)
    fork.#spentMs = this.totalMs - this.leftMs
    return fork
  }

  /**
   * Runs the work, and rejects with the code `ETIMEDOUT` when no time is left before the work has settled. The
   * abandoned work continues, and the late result is ignored. With no time left at the start, the work is not started.
   */
  spend<T>(work: () => Promise<T>): Promise<T> {
    const { leftMs } = this
    if (leftMs === 0) return Promise.reject(createTimeoutError())
    if (this.#pending === 0) this.#pendingSince = performance.now()
    this.#pending++
    const started = startWork(work)
    const result =
      leftMs === this.totalMs ? deadlineOf(this.totalMs)(started) : withDeadline(started, Math.ceil(leftMs))
    const finish = () => {
      this.#pending--
      if (this.#pending === 0) this.#spentMs += performance.now() - this.#pendingSince
    }
    result.then(finish, finish)
    return result
  }
}

const deadlines = new Map<number, Deadline>()

function deadlineOf(timeoutMs: number): Deadline {
  const known = deadlines.get(timeoutMs)
  if (known !== undefined) return known
  const deadline = createDeadline(timeoutMs)
  deadlines.set(timeoutMs, deadline)
  return deadline
}
