import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { StoreUnavailableError } from '../errors.js'
import { isTimeout, withDeadline } from '../internal/deadline.js'
import { createSessionId } from '../model/session-id.js'
import { checkFound } from './check-reply.js'
import type { SessionStore } from './session-store.js'

/** An ioredis client, as far as this file uses it. */
interface WatchedClient {
  options?: { host?: string; port?: number; path?: string; sentinels?: { host?: string; port?: number }[] | null }
  on?(event: 'error', listener: (error: Error) => void): unknown
  off?(event: 'error', listener: (error: Error) => void): unknown
}

/** How long to wait for a store, and whether an app without the store may start. */
export interface WaitOptions {
  /** Asks the store once, of several servers each; rejects with the reason why the store cannot be used. See {@link askStore}. */
  ask(): Promise<void>
  /** Milliseconds. */
  patienceMs: number
  isRequired: boolean
  /** Behind the store, if it is Redis. */
  client: object
  /** Why there is no point in waiting. */
  refusal?(): Error | undefined
}

const PAUSE_MS = 50

/**
 * Waits until the store responds.
 *
 * @throws {StoreUnavailableError} the store is required and does not respond; with its address, and what is wrong
 */
export async function waitUntilReady(options: WaitOptions): Promise<void> {
  const { ask, patienceMs, isRequired, refusal } = options
  const client: WatchedClient = options.client
  const deadline = performance.now() + patienceMs
  // What went wrong with the connection to Redis says more than what became of the call.
  let connectionError: Error | undefined
  let reason: unknown
  const onError = (error: Error) => {
    connectionError = error
  }
  client.on?.('error', onError)
  try {
    for (;;) {
      const error = await tryToAsk(ask, deadline - performance.now())
      const refused = refusal?.()
      if (error === null && refused === undefined) return
      // The last attempt has little time: the one before says more.
      if (reason === undefined || !isTimeout(error)) reason = error
      const isOver = refused !== undefined || performance.now() >= deadline
      if (isOver && isRequired) {
        throw new StoreUnavailableError(refused ?? connectionError ?? reason, { address: addressOf(client) })
      }
      if (isOver) return
      await delay(PAUSE_MS)
    }
  } finally {
    client.off?.('error', onError)
  }
}

/** Looks for a session that is not there. */
export async function askStore(store: Pick<SessionStore, 'find'>): Promise<void> {
  checkFound(await store.find(createSessionId('')))
}

/** What went wrong, or null. */
async function tryToAsk(ask: () => Promise<void>, timeoutMs: number): Promise<unknown> {
  try {
    await withDeadline(Promise.resolve(ask()), Math.max(1, timeoutMs))
    return null
  } catch (error) {
    return error ?? new Error('Rejected')
  }
}

/** Where Redis is, without a user or a password. */
function addressOf({ options = {} }: WatchedClient): string | undefined {
  const { path, sentinels } = options
  const { host, port } = sentinels?.[0] ?? options
  return path ?? (host && `${host}:${port}`)
}

const LONGEST_WAIT_MS = 5_000

/** Milliseconds to wait for a store at the start: less than Fastify waits for the plugin, which would not say what is wrong. */
export function longestWaitMs({ initialConfig: { pluginTimeout } }: FastifyInstance): number {
  return Math.min(LONGEST_WAIT_MS, (pluginTimeout || Number.POSITIVE_INFINITY) / 2)
}
