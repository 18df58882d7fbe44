import { type Breaker, BreakerError } from '../../internal/circuit-breaker.js'
import type { IoRedis, RedisClient } from './client.js'
import { Connection } from './connection.js'
import { duplicateClient } from './duplicate-client.js'
import { WAIT_FOLLOWS } from './script-call.js'

/** How many replicas to wait for, and how long. */
export interface ReplicaAcksConfig {
  /** 1 or more. */
  minReplicas: number
  /** Milliseconds for an operation of the store; half of the time may be spent on waiting for replicas. */
  timeoutMs: number
  /** The circuit breaker of the replicas. A failure of the master does not count. */
  breaker: Breaker
}

/** A client that runs the script for sessions that end, and only resolves after replicas have acknowledged. */
export interface ReplicatedScripts extends Pick<RedisClient, 'evalsha' | 'eval'> {
  close(): void
}

/** Formed like a Redis error reply, so that the circuit breaker of the store counts a response. */
const NO_REPLICAS = new Error('NOREPLICAS Too few replicas have acknowledged')

type Command = 'evalsha' | 'eval'
/** The arguments of both commands: digest or source of the script, number of keys, keys and arguments. */
type CommandArgs = [script: string, numberOfKeys: number, ...keysAndArguments: string[]]

/**
 * Runs the script on a master, and rejects unless `minReplicas` replicas then acknowledge the writes of the script. The
 * connection is separate: WAIT blocks its connection, for the whole timeout while replicas are missing.
 */
export function openReplicaAcks(client: IoRedis, config: ReplicaAcksConfig): ReplicatedScripts {
  return new ReplicaAcks(client, config)
}

class ReplicaAcks implements ReplicatedScripts {
  readonly #minReplicas: number
  readonly #waitMs: number
  readonly #breaker: Breaker
  readonly #client: IoRedis
  readonly #connection: Connection

  constructor(client: IoRedis, { minReplicas, timeoutMs, breaker }: ReplicaAcksConfig) {
    this.#minReplicas = minReplicas
    // At least 1: with 0 WAIT has no timeout.
    this.#waitMs = Math.max(1, Math.floor(timeoutMs / 2))
    this.#breaker = breaker
    this.#client = duplicateClient(client, timeoutMs)
    this.#connection = Connection.of(this.#client)
  }

  evalsha(...args: CommandArgs): Promise<unknown> {
    return this.#run('evalsha', args)
  }

  eval(...args: CommandArgs): Promise<unknown> {
    return this.#run('eval', args)
  }

  close(): void {
    this.#client.disconnect()
  }

  async #run(command: Command, [script, numberOfKeys, ...rest]: CommandArgs): Promise<unknown> {
    const args: CommandArgs = [script, numberOfKeys, ...rest, WAIT_FOLLOWS]
    try {
      return await this.#breaker.run(
        () => this.#connection.run(() => this.#followAndWait(command, args)),
        (error) => (error === NO_REPLICAS ? 'failure' : 'abandoned')
      )
    } catch (error) {
      throw error instanceof BreakerError ? NO_REPLICAS : error
    }
  }

  async #followAndWait(command: Command, args: CommandArgs): Promise<unknown> {
    try {
      return await this.#writeAndWait(command, args)
    } catch (error) {
      if (!(error instanceof Error && error.message.startsWith('MOVED '))) throw error
      // For a single command ioredis follows the slot to its new master, and remembers the master.
      await this.#client[command](...args)
      return this.#writeAndWait(command, args)
    }
  }

  async #writeAndWait(command: Command, args: CommandArgs): Promise<unknown> {
    // In a pipeline, so that WAIT cannot go to another server than the script.
    const replies = await this.#client
      .pipeline()
      [command](...args)
      .wait(this.#minReplicas, this.#waitMs)
      .exec()
    const [written, acknowledged] = [replies?.[0], replies?.[1]]
    const error = written?.[0] ?? acknowledged?.[0]
    if (error) throw error
    if (!(Number(acknowledged?.[1]) >= this.#minReplicas)) throw NO_REPLICAS
    return written?.[1]
  }
}
