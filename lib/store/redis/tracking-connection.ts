import { withDeadline } from '../../internal/deadline.js'
import type { RedisServer } from './client.js'

/** What to follow, and what to call. */
export interface FollowOptions {
  /** What the keys start with whose changes are notified. */
  prefix: string
  /** Milliseconds after which a server without a response counts as cut off. */
  maxStaleMs: number
  /** These keys have changed; or any key, when it is null. */
  onChange(keys: Buffer[] | null): void
  /** The server, or a proxy in front of it, does not allow tracking. */
  onRefused(error: Error): void
  /** On a Cluster only. */
  slots?: SlotCheck
}

/** How the heartbeat makes sure that a master of a Cluster owns the slots that the client takes for the master's. */
export interface SlotCheck {
  /** A key in one of these slots; without slots a key that the master refuses. */
  findKey(): string
  /** The master does not own the slot, or not for now. */
  onLost(): void
}

const ATTEMPT_TIMEOUT_MS = 2_000
const PAUSE_MS = 1_000
const PAUSE_AFTER_REFUSAL_MS = 60_000
const NEVER = Number.NEGATIVE_INFINITY

/**
 * A server that notifies of its changes, until a connection fails. Client-side tracking in broadcasting mode: over a
 * connection of its own, redirected to itself, the server tells each key that is written, deleted, expired or evicted.
 * With RESP2, because ioredis drops what RESP3 would push.
 *
 * A heartbeat tells whether the server is still there. A PING does not tell whether a master of a Cluster still owns its
 * slots: a master that is cut off from its peers, and was replaced by its replica, answers a PING all the same. So on a
 * Cluster the heartbeat also reads a key, over a second connection, because the first one is subscribed and may not.
 */
export class FollowedServer {
  /** Settles when the first attempt to follow is over, whatever its result. */
  readonly attempted: Promise<void>
  readonly server: RedisServer
  readonly #options: FollowOptions
  readonly #tracking: RedisServer
  readonly #reading: RedisServer | null
  #currentUntil = NEVER
  #retryAt: number | null = null
  #isFollowing = false

  constructor(server: RedisServer, options: FollowOptions) {
    this.server = server
    this.#options = options
    this.#tracking = this.#createConnection()
    this.#reading = options.slots === undefined ? null : this.#createConnection()
    this.#tracking.on('messageBuffer', (_channel: Buffer, keys: Buffer[] | null) => options.onChange(keys))
    server.on('close', this.#endNow)
    this.attempted = withDeadline(this.#follow(), ATTEMPT_TIMEOUT_MS).catch(this.#fail)
  }

  /** `performance.now()` until which every change that is older than `maxStaleMs` is known. */
  get currentUntil(): number {
    return this.#currentUntil
  }

  /** When to follow the server anew, by `performance.now()`; null while it is followed. */
  get retryAt(): number | null {
    return this.#retryAt
  }

  /** The heartbeat: to be called several times in `maxStaleMs`. */
  check(): void {
    if (this.#isFollowing) void this.#beat().catch(this.#fail)
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
      // The connection of the store leaves a deposed master, and this one follows.
      failoverDetector: false,
      lazyConnect: true,
      readOnly: false,
      keyPrefix: '',
      commandTimeout: maxStaleMs,
      sentinelCommandTimeout: maxStaleMs
    })
    connection.on('end', this.#endNow)
    // The reason is in the rejection of the attempt, or of the heartbeat.
    connection.on('error', () => {})
    return connection
  }

  async #follow(): Promise<void> {
    await untilConnected(this.server)
    if (this.#retryAt !== null) return
    // A node of a Cluster is connected by its first command, and is the same one by its address.
    if (this.#options.slots === undefined) this.server.on('ready', this.#startAnew)
    await Promise.all([this.#subscribe(), this.#reading?.connect()])
    await this.#beat()
    this.#isFollowing = true
  }

  async #subscribe(): Promise<void> {
    const connection = this.#tracking
    await connection.connect()
    const id = String(await connection.client('ID'))
    await connection.client('TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', this.#options.prefix)
    await connection.subscribe('__redis__:invalidate')
  }

  /**
   * The answer to the PING comes behind every change that the server made before it saw the PING; the read proves that no
   * other server made changes to its keys before. So both count from when they were sent.
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

  /** After a failover the store may read from another server next. */
  readonly #endNow = (): void => this.#end(PAUSE_MS)

  /** The store may have reached another server than this connection did before, behind the same name. */
  readonly #startAnew = (): void => this.#end(0)

  #end(pauseMs: number): void {
    if (this.#retryAt !== null) return
    this.#retryAt = performance.now() + pauseMs
    this.server.off('close', this.#endNow)
    this.server.off('ready', this.#startAnew)
    this.#tracking.disconnect()
    this.#reading?.disconnect()
    // Only what was read while the server was current is stored in a cache. A server that stays away costs no other one's users.
    const wasCurrent = this.#currentUntil !== NEVER
    this.#currentUntil = NEVER
    if (wasCurrent) this.#options.onChange(null)
  }
}

/** Resolves when the store's connection is made, in case it is being made: this connection has to come after it. */
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

/** The server cannot, or the ACL user may not. Every other error reply will pass: it loads, is busy, is full, cannot save. */
function isRefusal({ message }: Error): boolean {
  return /^(?:NOPERM|ERR) (?!max number of clients)/.test(message)
}
