import { withDeadline } from '../../internal/time-budget.js'

/** An ioredis client of one server, through which the store reads. */
export interface Server {
  duplicate(options: object): TrackingConnection
  on(event: 'close', listener: () => void): unknown
  off(event: 'close', listener: () => void): unknown
}

interface TrackingConnection {
  connect(): Promise<void>
  client(...args: string[]): Promise<unknown>
  subscribe(channel: string): Promise<unknown>
  ping(): Promise<unknown>
  disconnect(): void
  on(event: 'messageBuffer', listener: (channel: Buffer, keys: Buffer[] | null) => void): unknown
  on(event: 'error' | 'end', listener: () => void): unknown
}

/** What to follow, and who wants to know. */
export interface FollowOptions {
  /** What the keys start with whose changes are told. */
  prefix: string
  /** Milliseconds after which a server that does not answer counts as cut off. */
  maxStaleMs: number
  /** These keys have changed; or, when it is null, any. */
  onChange(keys: Buffer[] | null): void
  /** The server, or what stands in front of it, does not let us follow. */
  onRefused(error: Error): void
}

/** A server whose changes are told. */
export interface FollowedServer {
  /** Settles with the first attempt to follow, whatever comes of it. */
  readonly attempted: Promise<void>
  /** `performance.now()` until which no change is older than `maxStaleMs` and yet untold. */
  readonly currentUntil: number
  /** When to try again, by `performance.now()`; null while it is followed. */
  readonly retryAt: number | null
  /** Makes sure that the server is still there. */
  check(): void
  close(): void
}

const ATTEMPT_TIMEOUT_MS = 2_000
const PAUSE_MS = 1_000
const PAUSE_AFTER_REFUSAL_MS = 60_000
const NEVER = Number.NEGATIVE_INFINITY

/**
 * Client-side tracking in broadcasting mode: over a connection of its own, redirected to itself, the server tells of
 * each key that is written, deleted, expired or evicted. With RESP2, because ioredis drops what RESP3 would push.
 */
export function followServer(server: Server, options: FollowOptions): FollowedServer {
  const { prefix, maxStaleMs, onChange, onRefused } = options
  let currentUntil = NEVER
  let retryAt: number | null = null
  let isFollowing = false

  const connection = server.duplicate({
    protocol: 2,
    autoResubscribe: false,
    retryStrategy: null,
    lazyConnect: true,
    readOnly: false,
    keyPrefix: '',
    commandTimeout: maxStaleMs,
    sentinelCommandTimeout: maxStaleMs
  })

  async function follow(): Promise<void> {
    await connection.connect()
    const id = String(await connection.client('ID'))
    await connection.client('TRACKING', 'ON', 'REDIRECT', id, 'BCAST', 'PREFIX', prefix)
    await connection.subscribe('__redis__:invalidate')
    // Nothing was told of what has been read before.
    onChange(null)
    await ping()
    isFollowing = true
  }

  /** The answer comes behind every change that the server made before it saw the question. */
  async function ping(): Promise<void> {
    const sentAt = performance.now()
    await connection.ping()
    if (retryAt === null) currentUntil = sentAt + maxStaleMs
  }

  function end(pauseMs = PAUSE_MS): void {
    if (retryAt !== null) return
    retryAt = performance.now() + pauseMs
    currentUntil = NEVER
    onChange(null)
    server.off('close', onServerClosed)
    connection.disconnect()
  }

  function giveUp(error: Error): void {
    end(isRefusal(error) ? PAUSE_AFTER_REFUSAL_MS : PAUSE_MS)
    if (isRefusal(error)) onRefused(error)
  }

  // The store may read from another server next, after a failover.
  const onServerClosed = () => end()
  server.on('close', onServerClosed)
  connection.on('end', () => end())
  // What went wrong is told by the end, and by the attempt.
  connection.on('error', () => {})
  connection.on('messageBuffer', (_channel, keys) => onChange(keys))

  return {
    attempted: withDeadline(follow(), ATTEMPT_TIMEOUT_MS).catch(giveUp),
    get currentUntil() {
      return currentUntil
    },
    get retryAt() {
      return retryAt
    },
    check() {
      if (isFollowing) void ping().catch(() => end())
    },
    close: () => end()
  }
}

/** It cannot, or we may not. Whatever else a server says no with will pass: it loads, is busy, has no place, cannot save. */
function isRefusal({ name, message }: Error): boolean {
  return name === 'ReplyError' && /^(?:NOPERM|ERR) (?!max number of clients)/.test(message)
}
