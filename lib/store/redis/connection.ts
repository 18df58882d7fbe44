import { type IoRedis, isCluster, type RedisCluster, type RedisServer } from './client.js'

/** Calls that wait for an attempt to connect. */
interface Attempt {
  promise: Promise<void>
  resolve(): void
  reject(error: Error): void
}

const connections = new WeakMap<IoRedis, Connection>()

const afterResend = new WeakSet<Error>()

/** Whether the command that failed had been sent before, on a connection that was cut: it may have run then. */
export function wasSentTwice(error: Error): boolean {
  return afterResend.has(error)
}

/**
 * The state of a client's connection, by the client's events, so that one cut connection costs the commands what its
 * reconnect takes, and not an error each. One set of listeners per client, for as long as the client lives.
 */
export class Connection {
  readonly #client: IoRedis
  /** How often the client has become ready: tells on which connection a command was sent. */
  #number = 0
  #wasReady: boolean
  /** Whether an attempt to connect has failed since the client was ready: then Redis is down, and nothing waits. */
  #hasFailed = false
  #attempt: Attempt | null = null
  #database: number
  #isSelected: boolean
  #selecting: Promise<void> | null = null

  /** Counts the times that the client has become ready: another number is another connection, maybe to another server. */
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
    // While no sentinel answers, a client begins again and again without `close`. ioredis prints errors that have no
    // listener: a first listener would silence an application's client.
    if (client.listenerCount('error') > 0) client.on('error', () => client.status === 'connecting' && this.#onFailure())
  }

  /**
   * Sends commands that may be sent twice. While the client connects, the commands wait for the first attempt; when
   * their connection is cut before the reply, they are sent once more. The caller has the deadline.
   *
   * @throws Error with the code `NOT_CONNECTED`: the first attempt has failed; or the reply of Redis that refuses the
   * client's database: ioredis only emits that reply, and goes on in database 0, where there are no sessions
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
    if (!isCutOff(error, this.#client)) throw error
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

  /** A Cluster stays ready when a node's connection is cut, and connects to the node again once it knows the slots. */
  async #untilRefreshed(cluster: RedisCluster): Promise<void> {
    await this.#untilReady()
    await new Promise<void>((resolve) => cluster.refreshSlotsCache(() => resolve()))
  }

  async #untilReady(): Promise<void> {
    const client = this.#client
    if (client.status === 'ready') return
    // A client with `lazyConnect` connects with its first command.
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

  /** A refused SELECT is repeated with the next command: the right to it may have been granted meanwhile. */
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
    // "QUEUED", while other code has a transaction open on the client.
    if (reply !== 'OK') throw new Error('SELECT was not answered OK')
    if (sentOn === this.#number) this.#isSelected = true
  }

  /** Whether a new connection has to leave the database in which each begins. */
  #mustSelect(): boolean {
    return this.#database !== 0 || databaseOf(this.#client) !== 0
  }
}

function databaseOf(client: IoRedis): number {
  return (!isCluster(client) && client.options.db) || 0
}

function createAttempt(): Attempt {
  const attempt = {} as Attempt
  attempt.promise = new Promise<void>((resolve, reject) => Object.assign(attempt, { resolve, reject }))
  return attempt
}

function notConnected(): Error {
  return Object.assign(new Error('Redis is not connected'), { code: 'NOT_CONNECTED' })
}

/** Told by the texts of ioredis: a bundler changes the names of its classes. */
const CUT_OFF = [
  'Connection is closed.',
  'Reached the max retries per request limit',
  'Command aborted due to connection close',
  "Stream isn't writeable",
  "Cluster isn't ready",
  'Too many Cluster redirections. Last error: Error: Connection is closed.'
]

function isCutOff(error: unknown, client: IoRedis): boolean {
  if (!(error instanceof Error)) return false
  // After a cut a Cluster client sends to any node. It follows MOVED, but not where the commands of an automatic
  // pipeline differ in their slots.
  if (isCluster(client) && error.message.startsWith('MOVED ')) return true
  return CUT_OFF.some((text) => error.message.startsWith(text))
}
