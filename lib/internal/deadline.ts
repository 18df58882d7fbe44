/** Gives work a fixed time, see {@link createDeadline}. */
export type Deadline = <T>(work: Promise<T>) => Promise<T>

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
