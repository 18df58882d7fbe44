/**
 * A queue per key: tasks of one key run one after another, in the order in which they came; tasks of different keys run
 * side by side. For tasks that get in each other's way: of as many as ran at once, all but one would have to begin again.
 */
export class KeyedQueue {
  /** The last task of each key that has tasks. */
  readonly #last = new Map<string, Promise<unknown>>()

  /** The number of keys that have tasks. */
  get size(): number {
    return this.#last.size
  }

  /** Settles as the task does. A task that fails does not stop the tasks behind it. */
  async run<T>(key: string, task: () => Promise<T>): Promise<T> {
    const previous = this.#last.get(key)
    const current = previous === undefined ? task() : previous.then(task, task)
    this.#last.set(key, current)
    try {
      return await current
    } finally {
      if (this.#last.get(key) === current) this.#last.delete(key)
    }
  }
}
