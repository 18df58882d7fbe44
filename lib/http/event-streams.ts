import { Readable } from 'node:stream'
import { EventsFullError } from '../errors.js'

/** How many streams may be open, and how often a silent stream shows that it lives. */
export interface EventStreamsConfig {
  /** Seconds between two heartbeats. */
  heartbeatSeconds: number
  /** The most open streams of this process. */
  maxOpen: number
}

/** The most open streams of one user in this process: more tabs than a person reads, and no flood. */
const MAX_PER_USER = 50

const HEARTBEAT_CHECK_MS = 1_000

/** Bytes that wait for a client that does not read. */
const MAX_WAITING_BYTES = 16_384

/** Streams of server-sent events (HTML Standard 9.2), with heartbeats for proxies that cut silent connections. */
export class EventStreams {
  readonly #heartbeatMs: number
  readonly #maxOpen: number
  readonly #open = new Set<EventStream>()
  readonly #openByUser = new Map<string, number>()
  #timer: NodeJS.Timeout | undefined

  constructor({ heartbeatSeconds, maxOpen }: EventStreamsConfig) {
    this.#heartbeatMs = heartbeatSeconds * 1_000
    this.#maxOpen = maxOpen
  }

  /** The number of open streams. */
  get size(): number {
    return this.#open.size
  }

  /**
   * Opens a stream of the user.
   *
   * @param onClose called when the stream has ended, or when the client has disconnected
   * @throws {EventsFullError}
   */
  open(userId: string, onClose: () => void): EventStream {
    const openByUser = this.#openByUser.get(userId) ?? 0
    if (openByUser >= MAX_PER_USER) throw new EventsFullError(429)
    if (this.#open.size >= this.#maxOpen) throw new EventsFullError(503)
    this.#openByUser.set(userId, openByUser + 1)
    const stream = new EventStream(performance.now() + this.#heartbeatMs)
    if (this.#open.size === 0) this.#timer = setInterval(() => this.#beat(), HEARTBEAT_CHECK_MS).unref()
    this.#open.add(stream)
    stream.once('close', () => {
      this.#forget(stream, userId)
      onClose()
    })
    return stream
  }

  /** Ends all streams without an event, at the close of the app. Clients connect again, to another process. */
  end(): void {
    for (const stream of this.#open) stream.finish()
  }

  #forget(stream: EventStream, userId: string): void {
    this.#open.delete(stream)
    if (this.#open.size === 0) clearInterval(this.#timer)
    const others = Number(this.#openByUser.get(userId)) - 1
    if (others > 0) this.#openByUser.set(userId, others)
    else this.#openByUser.delete(userId)
  }

  #beat(): void {
    const now = performance.now()
    for (const stream of this.#open) {
      if (stream.beatAt > now) continue
      stream.beatAt = now + this.#heartbeatMs
      stream.write(':\n\n')
    }
  }
}

/** One stream of events. */
export class EventStream extends Readable {
  /** `performance.now()` of the next heartbeat. */
  beatAt: number
  #isFinished = false

  constructor(beatAt: number) {
    super({ highWaterMark: MAX_WAITING_BYTES })
    this.beatAt = beatAt
  }

  override _read(): void {}

  /** @param data one line, such as JSON */
  send(event: string, data: string): void {
    this.write(`event: ${event}\ndata: ${data}\n\n`)
  }

  /** Sends text of the protocol. A client that does not read loses the stream, and learns the state when it connects again. */
  write(text: string): void {
    if (this.destroyed || this.#isFinished) return
    if (!this.push(text)) this.destroy()
  }

  /** Ends the stream. Later text is dropped: a session may end while the app closes. */
  finish(): void {
    this.#isFinished = true
    this.push(null)
  }
}
