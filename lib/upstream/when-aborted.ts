/** Resolves to undefined a turn of the event loop after the abort: work under the signal can settle first. */
export function whenAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => setImmediate(resolve, undefined), { once: true })
  })
}
