import type { Tab } from './tab.js'

/** Runs a task whose signal aborts after `ms` milliseconds. */
export async function within<T>(ms: number, task: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const deadline = new AbortController()
  const timer = setTimeout(() => deadline.abort(), ms)
  try {
    return await task(deadline.signal)
  } finally {
    clearTimeout(timer)
  }
}

/** The longest wait for the stores, in milliseconds. */
export const STORES_MS = 1_000
/** The longest wait for a login or logout with cookies: a late answer would replace the cookie of a newer login. */
export const LOGIN_MS = 15_000

/**
 * Runs a task under a Web Lock of all pages, one lock for each wait. After `ms` milliseconds without the lock: a page that
 * is frozen with the lock must not stop the others. Also where there are no locks (plain HTTP).
 */
export async function withLock<T>({ page, name }: Tab, ms: number, task: () => Promise<T>): Promise<T> {
  let started: Promise<T> | undefined
  const start = () => {
    started = task()
    return started
  }
  try {
    await within(ms, (signal) => page.navigator.locks.request(name + ms, { signal }, start))
  } catch {
    // Without the lock, or the task has failed.
  }
  return started ?? task()
}
