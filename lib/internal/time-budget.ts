import { createDeadline, createTimeoutError, type Deadline, withDeadline } from './deadline.js'

/**
 * The time that one request may wait for its store. Only waiting is spent: not the time between two calls, and the time
 * of calls that run side by side once.
 */
export class TimeBudget {
  /** Milliseconds that the budget began with. */
  readonly totalMs: number
  #spentMs = 0
  /** Calls that have not settled yet. */
  #waiting = 0
  /** By `performance.now()`: since when there has been a call that has not settled. */
  #waitingSince = 0

  /** @param totalMs milliseconds. Budgets of one length share a timer, so there should be few different lengths in a process. */
  constructor(totalMs: number) {
    this.totalMs = totalMs
  }

  /** Milliseconds that are left; 0 when it is less than one, which is as exact as a timer. */
  get leftMs(): number {
    const waitedMs = this.#waiting === 0 ? 0 : performance.now() - this.#waitingSince
    const leftMs = this.totalMs - this.#spentMs - waitedMs
    return leftMs < 1 ? 0 : leftMs
  }

  /** A budget of its own, with as much time left as this one has now. */
  fork(): TimeBudget {
    const fork = new TimeBudget(this.totalMs)
    fork.#spentMs = this.totalMs - this.leftMs
    return fork
  }

  /**
   * Runs the work, and rejects with the code `ETIMEDOUT` when the time that is left has passed before the work has
   * settled. The work itself goes on, and its late result is ignored. With nothing left the work is not started.
   */
  async spend<T>(work: () => Promise<T>): Promise<T> {
    const { leftMs } = this
    if (leftMs === 0) throw createTimeoutError()
    if (this.#waiting === 0) this.#waitingSince = performance.now()
    this.#waiting++
    try {
      // Not every store is written in TypeScript: a value is as good as a promise of the value.
      const result = Promise.resolve(work())
      return await (leftMs === this.totalMs
        ? deadlineOf(this.totalMs)(result)
        : withDeadline(result, Math.ceil(leftMs)))
    } finally {
      this.#waiting--
      if (this.#waiting === 0) this.#spentMs += performance.now() - this.#waitingSince
    }
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
