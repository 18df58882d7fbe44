/**
 * Resolves to undefined when the signal is aborted, once what obeys the signal had a turn of the event loop to settle.
 * Pending as long as it is not.
 */
export function whenAborted(signal: AbortSignal): Promise<undefined> {
  return new Promise((resolve) => {
    signal.addEventListener('abort', () => setImmediate(resolve, undefined), { once: true })
  })
}
