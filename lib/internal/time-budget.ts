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

/** Gives work a fixed time, see {@link createDeadline}. */
export type Deadline = <T>(work: Promise<T>) => Promise<T>

const deadlines = new Map<number, Deadline>()

function deadlineOf(timeoutMs: number): Deadline {
  const known = deadlines.get(timeoutMs)
  if (known !== undefined) return known
  const deadline = createDeadline(timeoutMs)
  deadlines.set(timeoutMs, deadline)
  return deadline
}

/** Work that has not settled yet, in the order of its deadlines. */
interface Waiting {
  /** By `performance.now()`. */
  until: number
  abandon(): void
  previous: Waiting
  next: Waiting
}

/**
 * Gives work `timeoutMs` milliseconds: the promise settles as the work does, or rejects with the code `ETIMEDOUT`. The
 * work itself goes on, and its late result is ignored.
 *
 * All work shares one timer, which runs on when no work is left: to set and clear a timer costs as much as to parse a
 * session.
 */
export function createDeadline(timeoutMs: number): Deadline {
  const queue = createQueue()
  let timer: NodeJS.Timeout | undefined

  function abandonOverdue(): void {
    // Timers may fire a millisecond early.
    const now = performance.now() + 1
    while (queue.next !== queue && queue.next.until <= now) {
      const { abandon } = queue.next
      remove(queue.next)
      // In a process that was busy for so long, timers come first: a reply that has arrived meanwhile is read before this.
      setImmediate(abandon)
    }
    timer = queue.next === queue ? undefined : setTimeout(abandonOverdue, queue.next.until - now)
  }

  function add(abandon: () => void): Waiting {
    const waiting = { until: performance.now() + timeoutMs, abandon, previous: queue.previous, next: queue }
    queue.previous.next = waiting
    queue.previous = waiting
    // The timer may fire before this work is due, and is set again then.
    timer = timer?.ref() ?? setTimeout(abandonOverdue, timeoutMs)
    return waiting
  }

  function settle(waiting: Waiting): void {
    remove(waiting)
    if (queue.next === queue) timer?.unref()
  }

  return (work) =>
    new Promise((resolve, reject) => {
      const waiting = add(() => reject(createTimeoutError()))
      work.then(
        (value) => {
          settle(waiting)
          resolve(value)
        },
        (error) => {
          settle(waiting)
          reject(error)
        }
      )
    })
}

/**
 * Gives one piece of work its own time, see {@link createDeadline}.
 *
 * @param options.ref false: the timer does not keep the process alive. Default: true
 */
export function withDeadline<T>(work: Promise<T>, timeoutMs: number, { ref = true } = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(createTimeoutError())), timeoutMs)
    if (!ref) timer.unref()
    void work.then(resolve, reject).then(() => clearTimeout(timer))
  })
}

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

/** Whether the error is that of work that took too long, made here or by a store of the application's own. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ETIMEDOUT'
}

/** The error of work that took too long. */
export function createTimeoutError(): Error {
  return Object.assign(new Error('Deadline'), { code: 'ETIMEDOUT' })
}

/** A ring: its own next is the first entry, its previous the last. */
function createQueue(): Waiting {
  const queue = { until: Number.POSITIVE_INFINITY } as Waiting
  queue.previous = queue
  queue.next = queue
  return queue
}

/** Does nothing to an entry that has been removed before. */
function remove(waiting: Waiting): void {
  waiting.previous.next = waiting.next
  waiting.next.previous = waiting.previous
  waiting.previous = waiting
  waiting.next = waiting
}
