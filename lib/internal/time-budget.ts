/** Work that has not settled yet, in the order of its deadlines. */
interface Waiting {
  /** By `performance.now()`. */
  until: number
  giveUp(): void
  previous: Waiting
  next: Waiting
}

/**
 * Gives work so many milliseconds: what it returns settles as the work does, or rejects with the code `ETIMEDOUT`. The
 * work itself goes on, and its late result is ignored.
 *
 * All of it shares one timer, which runs on when nothing is left: to set and clear one costs as much as to parse a session.
 */
export function createDeadline(timeoutMs: number): <T>(work: Promise<T>) => Promise<T> {
  const queue = createQueue()
  let timer: NodeJS.Timeout | undefined

  function giveUpThoseOverdue(): void {
    // Timers may fire a millisecond early.
    const now = performance.now() + 1
    while (queue.next !== queue && queue.next.until <= now) {
      const { giveUp } = queue.next
      remove(queue.next)
      // Of a process that was busy for so long, timers come first: what has arrived meanwhile is read before this.
      setImmediate(giveUp)
    }
    timer = queue.next === queue ? undefined : setTimeout(giveUpThoseOverdue, queue.next.until - now)
  }

  function add(giveUp: () => void): Waiting {
    const waiting = { until: performance.now() + timeoutMs, giveUp, previous: queue.previous, next: queue }
    queue.previous.next = waiting
    queue.previous = waiting
    // It may be due before this is, and is set again then.
    timer = timer?.ref() ?? setTimeout(giveUpThoseOverdue, timeoutMs)
    return waiting
  }

  function end(waiting: Waiting): void {
    remove(waiting)
    if (queue.next === queue) timer?.unref()
  }

  return (work) =>
    new Promise((resolve, reject) => {
      const waiting = add(() => reject(createTimeoutError()))
      work.then(
        (value) => {
          end(waiting)
          resolve(value)
        },
        (error) => {
          end(waiting)
          reject(error)
        }
      )
    })
}

/** One piece of work, see {@link createDeadline}. */
export function withDeadline<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(createTimeoutError())), timeoutMs)
    void work.then(resolve, reject).then(() => clearTimeout(timer))
  })
}

/** What work is given up with that took too long. */
export function createTimeoutError(): Error {
  return Object.assign(new Error('Deadline'), { code: 'ETIMEDOUT' })
}

/** A ring: its own next is the first one, its previous the last. */
function createQueue(): Waiting {
  const queue = { until: Number.POSITIVE_INFINITY } as Waiting
  queue.previous = queue
  queue.next = queue
  return queue
}

/** Does no harm to one that has been removed before. */
function remove(waiting: Waiting): void {
  waiting.previous.next = waiting.next
  waiting.next.previous = waiting.previous
  waiting.previous = waiting
  waiting.next = waiting
}
