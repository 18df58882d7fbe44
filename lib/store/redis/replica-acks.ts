import { type Breaker, BreakerError } from '../../internal/circuit-breaker.js'
import type { IoRedis, RedisClient } from './client.js'
import { Connection } from './connection.js'
import { duplicateClient } from './duplicate-client.js'
import { WAIT_FOLLOWS } from './script-call.js'

/** How many replicas to wait for, and for how long. */
export interface ReplicaAcksConfig {
  /** 1 or more. */
  minReplicas: number
  /** Milliseconds that a whole operation of the store may take: waiting may take half of them. */
  timeoutMs: number
  /** Of the replicas, not of the master. */
  breaker: Breaker
}

/** Runs the script for sessions that end, and nothing else. */
export interface ReplicatedScripts extends Pick<RedisClient, 'evalsha' | 'eval'> {
  close(): void
}

/** A reply of Redis by its words, and a response: verification goes on. */
const NO_REPLICAS = new Error('NOREPLICAS Too few replicas have acknowledged')

type Send = 'evalsha' | 'eval'
/** The same for both: text or name of the script, number of keys, keys and arguments. */
type SendArgs = [script: string, numberOfKeys: number, ...keysAndArguments: string[]]

/**
 * Rejects unless the script has run on a master and then as many replicas have acknowledged what it wrote. It has a
 * connection of its own: WAIT holds up everything behind it, for its whole timeout while replicas are missing.
 */
export function openReplicaAcks(
  client: IoRedis,
  { minReplicas, timeoutMs, breaker }: ReplicaAcksConfig
): ReplicatedScripts {
  // Less would be 0, which waits without end.
  const waitMs = Math.max(1, Math.floor(timeoutMs / 2))
  // A connection that is being made is worth the wait: that of the store was there a moment ago.
  const connection = duplicateClient(client, { timeoutMs, enableOfflineQueue: true })
  const reconnecting = Connection.of(connection)

  async function writeAndWait(send: Send, args: SendArgs): Promise<unknown> {
    // One write to one connection: else WAIT might be sent to another server than the script, and answer for that.
    const replies = await connection
      .pipeline()
      [send](...args)
      .wait(minReplicas, waitMs)
      .exec()
    const [written, acknowledged] = [replies?.[0], replies?.[1]]
    const error = written?.[0] ?? acknowledged?.[0]
    if (error) throw error
    if (!(Number(acknowledged?.[1]) >= minReplicas)) throw NO_REPLICAS
    return written?.[1]
  }

  async function followAndWait(send: Send, args: SendArgs): Promise<unknown> {
    try {
      return await writeAndWait(send, args)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('MOVED '))) throw error
      // With a single command ioredis follows its slot to another master, and from then on knows where that is.
      await connection[send](...args)
      return writeAndWait(send, args)
    }
  }

  async function run(send: Send, args: SendArgs): Promise<unknown> {
    try {
      return await breaker.run(
        () => reconnecting.run(() => followAndWait(send, [...args, WAIT_FOLLOWS])),
        (error) => (error === NO_REPLICAS ? 'failure' : 'abandoned')
      )
    } catch (error) {
      throw error instanceof BreakerError ? NO_REPLICAS : error
    }
  }

  return {
    evalsha: (...args) => run('evalsha', args),
    eval: (...args) => run('eval', args),
    close: () => connection.disconnect()
  }
}
