import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { StoreUnavailableError } from '../errors.js'
import { isTimeout, withDeadline } from '../internal/deadline.js'
import { createSessionId } from '../model/session-id.js'
import { checkFound } from './check-reply.js'
import type { SessionStore } from './session-store.js'

/** The part of an ioredis client that this file uses. */
interface WatchedClient {
  options?: { host?: string; port?: number; path?: string; sentinels?: { host?: string; port?: number }[] | null }
  on?(event: 'error', listener: (error: Error) => void): unknown
  off?(event: 'error', listener: (error: Error) => void): unknown
}

/** Options of {@link waitUntilReady}. */
export interface WaitOptions {
  /** Calls each server of the store once, and rejects with the reason why the store cannot be used. */
  attempt(): Promise<void>
  /** The longest time to wait, in milliseconds. */
  patienceMs: number
  /** Whether the app must not start without the store. */
  isRequired: boolean
  /** The Redis client of the store; an empty object for another store. */
  client: object
  /** An error that waiting cannot fix. */
  refusal?(): Error | undefined
}

const PAUSE_MS = 50

/**
 * Waits until the store responds, for `patienceMs` at most.
 *
 * @throws {StoreUnavailableError} the store is required and does not respond; with the address and the cause
 */
export async function waitUntilReady(options: WaitOptions): Promise<void> {
  const { attempt, patienceMs, isRequired, refusal } = options
  const client: WatchedClient = options.client
  const deadline = performance.now() + patienceMs
  // An error of the connection to Redis is a better cause than the error of the call.
  let connectionError: Error | undefined
  let reason: unknown
  const onError = (error: Error) => {
    connectionError = error
  }
  client.on?.('error', onError)
  try {
    for (;;) {
      const error = await tryOnce(attempt, deadline - performance.now())
      const refused = refusal?.()
      if (error === null && refused === undefined) return
      // The last attempt has little time and may time out: the error of the attempt before is a better cause.
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

/** Calls `find()` with the id of no session. */
export async function callStore(store: Pick<SessionStore, 'find'>): Promise<void> {
  checkFound(await store.find(createSessionId('')))
}

/** Resolves to the error, or to null. */
async function tryOnce(attempt: () => Promise<void>, timeoutMs: number): Promise<unknown> {
  try {
    await withDeadline(Promise.resolve(attempt()), Math.max(1, timeoutMs))
    return null
  } catch (error) {
    return error ?? new Error('Rejected')
  }
}

/** The address of Redis, without user and password. */
function addressOf({ options = {} }: WatchedClient): string | undefined {
  const { path, sentinels } = options
  const { host, port } = sentinels?.[0] ?? options
  return path ?? (host && `${host}:${port}`)
}

const LONGEST_WAIT_MS = 5_000

/**
 * Milliseconds to wait for a store at the start: less than Fastify's `pluginTimeout`, whose error would not name the
 * cause.
 */
export function longestWaitMs({ initialConfig: { pluginTimeout } }: FastifyInstance): number {
  return Math.min(LONGEST_WAIT_MS, (pluginTimeout || Number.POSITIVE_INFINITY) / 2)
}
