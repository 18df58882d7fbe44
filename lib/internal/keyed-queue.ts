/**
 * A queue per key: tasks of the same key run in order, without overlap; tasks of different keys run concurrently. For
 * tasks that conflict when run concurrently: all but the first would have to start over.
 */
export class KeyedQueue {
  /** The last task of each key. Keys without tasks are absent. */
  readonly #last = new Map<string, Promise<unknown>>()

  /** The number of keys with tasks. */
  get size(): number {
    return this.#last.size
  }

  /** Settles with the task. A failed task does not stop the tasks behind. */
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
