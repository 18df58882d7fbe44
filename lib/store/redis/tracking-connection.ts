import { withDeadline } from '../../internal/deadline.js'
import type { RedisServer } from './client.js'

/** Options of {@link TrackedServer}. */
export interface TrackedServerOptions {
  /** The start of the keys to track. */
  prefix: string
  /** Milliseconds after which a server without a response counts as unreachable. */
  maxStaleMs: number
  /** The keys that have changed. Null: every key may have changed. */
  onChange(keys: Buffer[] | null): void
  /** The server, or a proxy before the server, does not allow tracking. */
  onRefused(error: Error): void
  /** On a Cluster only. */
  slots?: SlotCheck
}

/** How the heartbeat checks that a Cluster master still owns its slots. */
export interface SlotCheck {
  /** A key in a slot of the master; for a master without slots a key that the master refuses. */
  findKey(): string
  /** The master no longer owns the slot, or cannot serve the slot now. */
  onLost(): void
}

const ATTEMPT_TIMEOUT_MS = 2_000
/** From the start of an attempt: an attempt that waited for a server without a response is repeated at once. */
const PAUSE_MS = 1_000
const PAUSE_AFTER_REFUSAL_MS = 60_000
const NEVER = Number.NEGATIVE_INFINITY

/**
 * A server that notifies of its changes, until a connection fails. Uses client-side tracking in broadcasting mode: over
 * a separate connection, redirected to the same connection, the server sends each key that is written, deleted, expired
 * or evicted. With RESP2, because ioredis drops the push messages of RESP3.
 *
 * A heartbeat checks that the server responds. A PING cannot show that a Cluster master still owns its slots: a master
 * that was isolated, and replaced by its replica, still responds to PING. So on a Cluster the heartbeat also reads a
 * key, over a second connection, because a subscribed RESP2 connection cannot read.
 */
export class TrackedServer {
  /** Settles with the first attempt to track, also when the attempt fails. */
  readonly attempted: Promise<void>
  readonly server: RedisServer
  readonly #options: TrackedServerOptions
  readonly #tracking: RedisServer
  readonly #reading: RedisServer | null
  readonly #startedAt = performance.now()
  #currentUntil = NEVER
  #retryAt: number | null = null
  #isTracking = false

  constructor(server: RedisServer, options: TrackedServerOptions) {
    this.server = server
    this.#options = options
    this.#tracking = this.#createConnection()
    this.#reading = options.slots === undefined ? null : this.#createConnection()
    this.#tracking.on('messageBuffer', (_channel: Buffer, keys: Buffer[] | null) => options.onChange(keys))
    server.on('close', this.#endNow)
    this.attempted = withDeadline(this.#track(), ATTEMPT_TIMEOUT_MS).catch(this.#fail)
  }

  /** `performance.now()` until which every change that is older than `maxStaleMs` is known. */
  get currentUntil(): number {
    return this.#currentUntil
  }

  /** `performance.now()` at which to track the server again; null while the server is tracked. */
  get retryAt(): number | null {
    return this.#retryAt
  }

  /** Sends the heartbeat. Called several times in `maxStaleMs`. */
  check(): void {
    if (this.#isTracking) void this.#beat().catch(this.#fail)
  }

  close(): void {
    this.#end(PAUSE_MS)
  }

  #createConnection(): RedisServer {
    const { maxStaleMs } = this.#options
    const connection = this.server.duplicate({
      protocol: 2,
      autoResubscribe: false,
      retryStrategy: null,
      reconnectOnError: null,
      // The connection of the store detects a failover, and this connection ends with the connection of the store.
      failoverDetector: false,
      lazyConnect: true,
      readOnly: false,
      keyPrefix: '',
      commandTimeout: maxStaleMs,
      sentinelCommandTimeout: maxStaleMs
    })
    connection.on('end', this.#endNow)
    // The attempt or the heartbeat rejects with the error.
    connection.on('error', () => {})
    return connection
  }

  async #track(): Promise<void> {
    await untilConnected(this.server)
    if (this.#retryAt !== null) return
    // Not on a Cluster: ioredis connects a node with its first command, and the address of a node never changes.
    if (this.#options.slots === undefined) this.server.on('ready', this.#startAnew)
    await Promise.all([this.#subscribe(), this.#reading?.connect()])
    await this.#beat()
    this.#isTracking = true
  }

  async #subscribe(): Promise<void> {
    const connection = this.#tracking
    await connection.connect()
    const id = String(await connection.client('ID'))
    await connection.client('TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', this.#options.prefix)
    await connection.subscribe('__redis__:invalidate')
  }

  /**
   * The reply to the PING follows the notifications of all changes before the PING; the read proves that no other
   * master had changed the keys before the read. So both are valid from their time of sending.
   */
  async #beat(): Promise<void> {
    const sentAt = performance.now()
    const key = this.#options.slots?.findKey()
    await Promise.all([this.#tracking.ping(), key !== undefined && this.#reading?.mget(key)])
    if (this.#retryAt === null) this.#currentUntil = sentAt + this.#options.maxStaleMs
  }

  readonly #fail = (error: Error): void => {
    const isRefused = isRefusal(error)
    this.#end(isRefused ? PAUSE_AFTER_REFUSAL_MS : PAUSE_MS)
    if (isRefused) this.#options.onRefused(error)
    if (SLOT_LOST.test(error.message)) this.#options.slots?.onLost()
  }

  /** After a failover the store may read from another server. */
  readonly #endNow = (): void => this.#end(PAUSE_MS)

  /** The same name may have led the store to another server than this connection. */
  readonly #startAnew = (): void => this.#end(0)

  #end(pauseMs: number): void {
    if (this.#retryAt !== null) return
    this.#retryAt = this.#startedAt + pauseMs
    this.server.off('close', this.#endNow)
    this.server.off('ready', this.#startAnew)
    this.#tracking.disconnect()
    this.#reading?.disconnect()
    // The cache only stores reads of a current server. Without this check a dead server would empty the cache again and
    // again.
    const wasCurrent = this.#currentUntil !== NEVER
    this.#currentUntil = NEVER
    if (wasCurrent) this.#options.onChange(null)
  }
}

/** Waits while the store connects: the tracking connection must be made after the connection of the store. */
async function untilConnected(server: RedisServer): Promise<void> {
  if (server.status !== 'connecting' && server.status !== 'connect') return
  await new Promise<void>((resolve) => {
    const settle = () => {
      server.off('ready', settle)
      server.off('close', settle)
      resolve()
    }
    server.on('ready', settle)
    server.on('close', settle)
  })
}

const SLOT_LOST = /^(?:MOVED|ASK|CLUSTERDOWN) /

/**
 * The server cannot track, or the ACL user must not. Other error replies (LOADING, BUSY, OOM, MISCONF) are temporary.
 */
function isRefusal({ message }: Error): boolean {
  return /^(?:NOPERM|ERR) (?!max number of clients)/.test(message)
}
