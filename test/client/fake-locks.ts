/** A window. */
export interface LockOwner {
  /** Resolves when the window is not frozen. */
  awake: Promise<void>
}

interface Request {
  owner: LockOwner
  grant(): void
  reject(error: unknown): void
}

type Options = { signal?: AbortSignal; steal?: boolean }
type Callback<T> = () => Promise<T>

/** Web Locks of one browser: exclusive locks, with `signal` and `steal`. */
export class FakeLocks {
  readonly #queues = new Map<string, Request[]>()

  /** `navigator.locks` of one window. */
  of(owner: LockOwner): LockManager {
    const request = <T>(name: string, options: Options, callback: Callback<T>) =>
      this.#request({ owner, name, options, callback })
    return { request } as unknown as LockManager
  }

  /** The window that holds the lock. */
  holderOf(name: string): LockOwner | undefined {
    return this.#queues.get(name)?.[0]?.owner
  }

  /** A window is closed, or its process has crashed. */
  release(owner: LockOwner): void {
    for (const name of this.#queues.keys()) {
      for (const request of this.#queueOf(name).filter((request) => request.owner === owner))
        this.#remove(name, request)
    }
  }

  async #request<T>({
    owner,
    name,
    options,
    callback
  }: {
    owner: LockOwner
    name: string
    options: Options
    callback: Callback<T>
  }) {
    const { signal, steal } = options
    if (steal && signal) throw new DOMException('steal and signal', 'NotSupportedError')
    signal?.throwIfAborted()
    return new Promise<T>((resolve, reject) => {
      const queue = this.#queueOf(name)
      let isGranted = false
      const grant = () => {
        isGranted = true
        const settle = () => this.#remove(name, request)
        // A frozen window gets the lock, and does not run.
        owner.awake.then(callback).then(resolve, reject).finally(settle)
      }
      const request: Request = { owner, grant, reject }
      if (steal) {
        const [holder] = queue.splice(0, 1, request)
        holder?.reject(new DOMException('stolen', 'AbortError'))
        grant()
        return
      }
      signal?.addEventListener('abort', () => {
        if (isGranted) return
        queue.splice(queue.indexOf(request), 1)
        reject(signal.reason)
      })
      queue.push(request)
      if (queue.length === 1) queueMicrotask(grant)
    })
  }

  #remove(name: string, request: Request): void {
    const queue = this.#queueOf(name)
    const at = queue.indexOf(request)
    if (at < 0) return
    queue.splice(at, 1)
    if (at === 0) queue[0]?.grant()
  }

  #queueOf(name: string): Request[] {
    const queue = this.#queues.get(name) ?? []
    this.#queues.set(name, queue)
    return queue
  }
}
