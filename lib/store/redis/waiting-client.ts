import { type Breaker, BreakerError } from '../../internal/circuit-breaker.js'
import type { RedisClient } from './redis-store.js'
import { IS_WAITED_FOR } from './session-script.js'

/** The part of an ioredis `Redis` or `Cluster` client that this file uses. */
export type DuplicableClient = RedisClient &
  (
    | { duplicate(options: object): Connection }
    | { nodes: unknown; duplicate(startupNodes: [], options: object): Connection }
  )

interface Writer {
  evalsha(sha: string, numberOfKeys: number, ...keysAndArguments: string[]): unknown
  eval(source: string, numberOfKeys: number, ...keysAndArguments: string[]): unknown
}

interface Connection extends Writer {
  pipeline(): Pipeline
  on(event: 'error', listener: () => void): unknown
  disconnect(): void
}

interface Pipeline extends Writer {
  wait(replicas: number, timeoutMs: number): unknown
  exec(): Promise<unknown>
}

type Reply = [error: Error | null, result: unknown]

/** How many replicas to wait for, and for how long. */
export interface WaitForReplicas {
  minReplicas: number
  /** Milliseconds that a whole operation of the store may take: waiting may take half of them. */
  timeoutMs: number
  /** Of the replicas. */
  breaker: Breaker
}

/** A client through which a store ends sessions, and nothing else. */
export interface WaitingClient {
  client: RedisClient
  close(): void
}

/** Called what Redis calls it, and an answer: verification goes on. */
const NO_REPLICAS = Object.assign(new Error('NOREPLICAS Too few replicas have acknowledged'), { name: 'ReplyError' })

/**
 * Rejects unless the script has run on a master and then as many replicas have acknowledged what it wrote. It has a
 * connection of its own: WAIT blocks everything behind it, for its whole timeout while replicas are missing.
 */
export function openWaitingClient(client: DuplicableClient, options: WaitForReplicas): WaitingClient {
  const { minReplicas, timeoutMs, breaker } = options
  // Less would be 0, which is for ever.
  const waitMs = Math.max(1, Math.floor(timeoutMs / 2))
  const connection = duplicate(client, timeoutMs)
  // Whoever asks is told.
  connection.on('error', () => {})

  async function writeAndWait(write: (to: Writer) => unknown): Promise<unknown> {
    // One write to one connection: else WAIT might be sent to another server than the script, and answer for that.
    const pipeline = connection.pipeline()
    write(pipeline)
    pipeline.wait(minReplicas, waitMs)
    const [[writeError, result], [waitError, count]] = (await pipeline.exec()) as [Reply, Reply]
    const error = writeError ?? waitError
    if (error !== null) throw error
    if (!(Number(count) >= minReplicas)) throw NO_REPLICAS
    return result
  }

  async function followAndWait(write: (to: Writer) => unknown): Promise<unknown> {
    try {
      return await writeAndWait(write)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('MOVED '))) throw error
      // With a single command ioredis follows its slot to another master, and from then on knows where that is.
      await write(connection)
      return writeAndWait(write)
    }
  }

  async function run(write: (to: Writer) => unknown): Promise<unknown> {
    try {
      return await breaker.run(
        () => followAndWait(write),
        (error) => (error === NO_REPLICAS ? 'failed' : 'given up')
      )
    } catch (error) {
      throw error instanceof BreakerError ? NO_REPLICAS : error
    }
  }

  return {
    client: {
      mget: client.mget,
      evalsha: (...args) => run((to) => to.evalsha(...args, IS_WAITED_FOR)),
      eval: (...args) => run((to) => to.eval(...args, IS_WAITED_FOR))
    },
    close: () => connection.disconnect()
  }
}

/** With the settings of the client, but for those that would let a command wait or be sent again. */
function duplicate(client: DuplicableClient, timeoutMs: number): Connection {
  const redisOptions = {
    commandTimeout: timeoutMs,
    disconnectTimeout: timeoutMs,
    sentinelCommandTimeout: timeoutMs,
    maxRetriesPerRequest: 0,
    autoResendUnfulfilledCommands: false
  }
  // A connection that is being made is worth the wait: that of the store was there a moment ago.
  const options = { lazyConnect: false, enableOfflineQueue: true }
  if ('nodes' in client) return client.duplicate([], { ...options, redisOptions })
  return client.duplicate({ ...options, ...redisOptions })
}
