/** Settles as `work` does, or rejects after `timeoutMs`. The work itself goes on; its late result is ignored. */
export function withDeadline<T>(work: Promise<T>, timeoutMs: number): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => {
      // Of a process that was busy for so long, timers come first: what has arrived meanwhile is read before this.
      setImmediate(() => reject(Object.assign(new Error('Deadline'), { code: 'ETIMEDOUT' })))
    }, timeoutMs)
    work.then(
      (value) => {
        clearTimeout(timer)
        resolve(value)
      },
      (error) => {
        clearTimeout(timer)
        reject(error)
      }
    )
  })
}
