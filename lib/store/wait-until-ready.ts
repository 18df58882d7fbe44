import { setTimeout as delay } from 'node:timers/promises'
import { StoreUnavailableError } from '../errors.js'
import { withDeadline } from '../internal/time-budget.js'
import { createSessionId } from '../model/session-id.js'
import type { SessionStore } from './session-store.js'

/** An ioredis client, as far as this file uses it. */
interface WatchedClient {
  options?: { host?: string; port?: number; path?: string; sentinels?: { host?: string; port?: number }[] | null }
  on?(event: 'error', listener: (error: Error) => void): unknown
  off?(event: 'error', listener: (error: Error) => void): unknown
}

/** How long to wait for a store, and whether an app without it may start. */
export interface WaitOptions {
  patienceMs: number
  isRequired: boolean
  /** Behind the store, if it is Redis. */
  client: object
  /** Why there is no point in waiting. */
  refusal?(): Error | undefined
}

const PAUSE_MS = 50

/**
 * Waits until the store answers.
 *
 * @throws {StoreUnavailableError} it is required and does not answer; with where it is, and what is wrong
 */
export async function waitForStore(store: SessionStore, options: WaitOptions): Promise<void> {
  const { patienceMs, isRequired, refusal } = options
  const client: WatchedClient = options.client
  const giveUpAt = performance.now() + patienceMs
  // What went wrong on the way to Redis says more than what became of the question.
  let connectionError: Error | undefined
  const onError = (error: Error) => {
    connectionError = error
  }
  client.on?.('error', onError)
  try {
    for (;;) {
      const error = await tryToAsk(store, giveUpAt - performance.now())
      if (error === null) return
      const isOver = refusal?.() !== undefined || performance.now() >= giveUpAt
      if (isOver && isRequired)
        throw new StoreUnavailableError(refusal?.() ?? connectionError ?? error, { address: addressOf(client) })
      if (isOver) return
      await delay(PAUSE_MS)
    }
  } finally {
    client.off?.('error', onError)
  }
}

/** What went wrong, or null. */
async function tryToAsk(store: SessionStore, timeoutMs: number): Promise<unknown> {
  try {
    await withDeadline(Promise.resolve(store.find(createSessionId(''))), Math.max(1, timeoutMs))
    return null
  } catch (error) {
    return error
  }
}

/** Where Redis is, without a user or a password. */
function addressOf({ options = {} }: WatchedClient): string | undefined {
  const { path, sentinels } = options
  const { host, port } = sentinels?.[0] ?? options
  return path ?? (host && `${host}:${port}`)
}
