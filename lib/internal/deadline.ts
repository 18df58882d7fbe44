/** The longest delay of a timer in Node.js, in milliseconds: a longer delay fires immediately. */
export const LONGEST_DELAY_MS = 2 ** 31 - 1

/** Settles with the work, or rejects with the code `ETIMEDOUT`. See {@link createDeadline}. */
export type Deadline = <T>(work: Promise<T>) => Promise<T>

/**
 * Creates a deadline of `timeoutMs` milliseconds. Work past the deadline is abandoned: the promise rejects, the work
 * continues, and the late result is ignored.
 *
 * For many short pieces of work: all of them share a single timer, because setting and clearing a timer for each costs
 * as much as parsing a small JSON text.
 */
export function createDeadline(timeoutMs: number): Deadline {
  const queue = new DeadlineQueue(timeoutMs)
  return (work) => queue.run(work)
}

/**
 * Gives a single piece of work a timer of its own. See {@link createDeadline}.
 *
 * @param timeoutMs milliseconds, 1 to 2 147 483 647
 * @param options.ref false: the timer does not keep the process alive. Default: true
 */
export function withDeadline<T>(work: Promise<T>, timeoutMs: number, { ref = true } = {}): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => reject(createTimeoutError())), timeoutMs)
    if (!ref) timer.unref()
    void work.then(resolve, reject).then(() => clearTimeout(timer))
  })
}

/** Starts work that may be synchronous: that throws at once, or returns a plain value instead of a promise. */
export function startWork<T>(work: () => T): Promise<Awaited<T>> {
  try {
    return Promise.resolve(work())
  } catch (error) {
    return Promise.reject(error)
  }
}

/** The error of work that timed out, with the code `ETIMEDOUT`. */
export function createTimeoutError(): Error {
  return Object.assign(new Error('Timed out'), { code: 'ETIMEDOUT' })
}

/** Whether an error has the code `ETIMEDOUT`, as the errors of {@link createTimeoutError} and of Node.js sockets do. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ETIMEDOUT'
}

/** Pending work in the order of the deadlines, with a single timer. The timer stays set while the queue is empty. */
class DeadlineQueue {
  readonly #timeoutMs: number
  /** The head of a ring: `next` is the first entry, `previous` the last. */
  readonly #head = new QueueEntry(Number.POSITIVE_INFINITY)
  #timer: NodeJS.Timeout | undefined

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  run<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const entry = this.#add(() => reject(createTimeoutError()))
      work.then(
        (value) => {
          this.#remove(entry)
          resolve(value)
        },
        (error) => {
          this.#remove(entry)
          reject(error)
        }
      )
    })
  }

  #add(abandon: () => void): QueueEntry {
    const entry = new QueueEntry(performance.now() + this.#timeoutMs, abandon)
    entry.insertBefore(this.#head)
    // A timer left from earlier work may fire too early for the new entry, and is set again then.
    this.#timer = this.#timer?.ref() ?? setTimeout(() => this.#abandonOverdue(), this.#timeoutMs)
    return entry
  }

  #remove(entry: QueueEntry): void {
    entry.remove()
    if (this.#head.next === this.#head) this.#timer?.unref()
  }

  #abandonOverdue(): void {
    // Timers may fire a millisecond early.
    const now = performance.now() + 1
    let first = this.#head.next
    while (first !== this.#head && first.deadline <= now) {
      first.remove()
      // After a busy turn of the event loop timers run before I/O: a reply received in time is read before `abandon`.
      const { abandon } = first
      setImmediate(() => abandon?.())
      first = this.#head.next
    }
    const isEmpty = first === this.#head
    this.#timer = isEmpty ? undefined : setTimeout(() => this.#abandonOverdue(), first.deadline - now)
  }
}

/** An entry of a doubly linked ring; alone after creation and after removal. */
class QueueEntry {
  /** Milliseconds of `performance.now()`. */
  readonly deadline: number
  readonly abandon: (() => void) | undefined
  previous: QueueEntry = this
  next: QueueEntry = this

  constructor(deadline: number, abandon?: () => void) {
    this.deadline = deadline
    this.abandon = abandon
  }

  insertBefore(next: QueueEntry): void {
    this.previous = next.previous
    this.next = next
    next.previous.next = this
    next.previous = this
  }

  /** Removing an entry twice has no effect. */
  remove(): void {
    this.previous.next = this.next
    this.next.previous = this.previous
    this.previous = this
    this.next = this
  }
}
