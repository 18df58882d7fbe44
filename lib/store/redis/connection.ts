import { type IoRedis, isCluster, type RedisCluster, type RedisServer } from './client.js'

/** An attempt to connect, which calls wait for. */
interface Attempt {
  promise: Promise<void>
  resolve(): void
  reject(error: Error): void
}

const connections = new WeakMap<IoRedis, Connection>()

const afterResend = new WeakSet<Error>()

/** Whether the failed command had been sent before, on a lost connection: the command may have run. */
export function wasSentTwice(error: Error): boolean {
  return afterResend.has(error)
}

/**
 * The state of a client's connection, by the client's events, so that commands wait for a reconnect and do not fail
 * with a lost connection. Each client has one set of listeners, until the client is garbage.
 */
export class Connection {
  readonly #client: IoRedis
  #number = 0
  #wasReady: boolean
  /** Whether an attempt to connect has failed since the client was ready: Redis is down, and no command waits. */
  #hasFailed = false
  #attempt: Attempt | null = null
  #database: number
  #isSelected: boolean
  #selecting: Promise<void> | null = null

  /** The number of the connection: grows each time the client becomes ready, perhaps with another server. */
  get number(): number {
    return this.#number
  }

  /** The connection of this client. */
  static of(client: IoRedis): Connection {
    const connection = connections.get(client) ?? new Connection(client)
    connections.set(client, connection)
    return connection
  }

  private constructor(client: IoRedis) {
    this.#client = client
    this.#wasReady = client.status === 'ready'
    this.#database = databaseOf(client)
    this.#isSelected = !this.#mustSelect()
    client.on('ready', () => this.#onReady())
    client.on('close', () => this.#onClose())
    client.on('end', () => this.#onFailure())
    client.on('select', (database: number) => {
      this.#database = database
    })
    // While no sentinel responds, a client retries without `close` events, only with `error` events. ioredis prints
    // errors without a listener: a first listener would silence an application's client.
    if (client.listenerCount('error') > 0) client.on('error', () => client.status === 'connecting' && this.#onFailure())
  }

  /**
   * Sends an idempotent command. While the client connects, the command waits for the first attempt. When the
   * connection is lost before the reply, the command is sent once more. The caller sets the deadline.
   *
   * @throws {Error} with the code `NOT_CONNECTED`: the first attempt has failed; or the error reply to a SELECT of the
   * client's database: ioredis only emits that reply, and stays in database 0, where there are no sessions
   */
  run<T>(send: () => Promise<T>): Promise<T> {
    return this.#client.status === 'ready' && this.#isSelected ? this.#send(send) : this.#sendLater(send)
  }

  #send<T>(send: () => Promise<T>): Promise<T> {
    const sentOn = this.#number
    return send().catch((error: unknown) => this.#sendAgain(send, error, sentOn))
  }

  async #sendLater<T>(send: () => Promise<T>): Promise<T> {
    await this.#untilReady()
    await this.#untilSelected()
    return this.#send(send)
  }

  async #sendAgain<T>(send: () => Promise<T>, error: unknown, sentOn: number): Promise<T> {
    if (!isConnectionLost(error, this.#client)) throw error
    // The status is still "ready" while a connection closes.
    const isClosing = sentOn === this.#number
    try {
      if (isCluster(this.#client)) await this.#untilRefreshed(this.#client)
      else await (isClosing ? this.#untilAttempt() : this.#untilReady())
    } catch {
      throw error
    }
    try {
      await this.#untilSelected()
      return await send()
    } catch (second) {
      if (second instanceof Error) afterResend.add(second)
      throw second
    }
  }

  /**
   * A Cluster client stays ready when the connection to a node is lost, and reconnects after a refresh of its slots.
   */
  async #untilRefreshed(cluster: RedisCluster): Promise<void> {
    await this.#untilReady()
    await new Promise<void>((resolve) => cluster.refreshSlotsCache(() => resolve()))
  }

  async #untilReady(): Promise<void> {
    const client = this.#client
    if (client.status === 'ready') return
    // With `lazyConnect` the client connects with its first command.
    if (client.status === 'wait') void client.connect().catch(() => {})
    await this.#untilAttempt()
  }

  #untilAttempt(): Promise<void> {
    if (this.#hasFailed || this.#client.status === 'end') return Promise.reject(notConnected())
    this.#attempt ??= createAttempt()
    return this.#attempt.promise
  }

  #onReady(): void {
    this.#number++
    this.#wasReady = true
    this.#hasFailed = false
    this.#attempt?.resolve()
    this.#attempt = null
  }

  #onClose(): void {
    this.#isSelected = !this.#mustSelect()
    if (!this.#wasReady) this.#onFailure()
    this.#wasReady = false
  }

  #onFailure(): void {
    this.#hasFailed = true
    this.#attempt?.reject(notConnected())
    this.#attempt = null
  }

  /** A refused SELECT is repeated with the next command, because an operator may have granted the right meanwhile. */
  async #untilSelected(): Promise<void> {
    if (this.#isSelected || isCluster(this.#client)) return
    this.#selecting ??= this.#select(this.#client).finally(() => {
      this.#selecting = null
    })
    await this.#selecting
  }

  async #select(server: RedisServer): Promise<void> {
    const sentOn = this.#number
    const reply = await server.select(this.#database)
    // The reply is `QUEUED` while other code has a transaction open on the client.
    if (reply !== 'OK') throw new Error('The reply to SELECT was not OK')
    if (sentOn === this.#number) this.#isSelected = true
  }

  /** Whether a new connection must change to another database than 0. */
  #mustSelect(): boolean {
    return this.#database !== 0 || databaseOf(this.#client) !== 0
  }
}

function databaseOf(client: IoRedis): number {
  return (!isCluster(client) && client.options.db) || 0
}

function createAttempt(): Attempt {
  let resolve!: Attempt['resolve']
  let reject!: Attempt['reject']
  const promise = new Promise<void>((resolvePromise, rejectPromise) => {
    resolve = resolvePromise
    reject = rejectPromise
  })
  return { promise, resolve, reject }
}

function notConnected(): Error {
  return Object.assign(new Error('Redis is not connected'), { code: 'NOT_CONNECTED' })
}

/** Messages of ioredis: a bundler may rename the classes of ioredis. */
const CONNECTION_LOST = [
  'Connection is closed.',
  'Reached the max retries per request limit',
  'Command aborted due to connection close',
  "Stream isn't writeable",
  "Cluster isn't ready",
  'Too many Cluster redirections. Last error: Error: Connection is closed.'
]

function isConnectionLost(error: unknown, client: IoRedis): boolean {
  if (!(error instanceof Error)) return false
  // After a lost connection a Cluster client sends commands to any node. The client follows MOVED, except in an
  // automatic pipeline with several slots.
  if (isCluster(client) && error.message.startsWith('MOVED ')) return true
  return CONNECTION_LOST.some((text) => error.message.startsWith(text))
}
