import { withDeadline } from '../../internal/deadline.js'
import type { Downtime, DowntimeOptions, DowntimeWatch } from '../session-store.js'
import type { Servers, SessionServer } from './servers.js'

/** Runs the operation `beat` on a server; rejects when the server does not run the script. */
export type Beat = (server: SessionServer, durations: BeatDurations) => Promise<BeatReply>

/** Arguments of `beat`, in milliseconds. */
export interface BeatDurations {
  gapAfterMs: number
  failedForMs: number
  rememberMs: number
}

/** The reply to `beat`. */
export interface BeatReply {
  /** False when the server refuses writes. */
  isWritten: boolean
  /**
   * The last heartbeat that was written, then the periods: `last from-to from-to …`, epoch milliseconds of the server.
   */
  text: string
  /** Epoch milliseconds by the clock of the server. */
  serverTime: number
}

/** The servers to watch, and how. */
export interface WatchDeps extends DowntimeOptions {
  servers: Servers
  beat: Beat
}

/** The known state of one server. */
interface ServerState {
  /** The periods that the server has stored, by the clock of this process. */
  periods: readonly Downtime[]
  /** `performance.now()` of the last known heartbeat that was written. Null before the first. */
  writtenAt: number | null
  /** Whether the last heartbeat of this process was not written. */
  hasFailed: boolean
  isBeating: boolean
}

/** A last heartbeat that is older than 3 intervals proves that no process could write. */
const MAX_MISSED_BEATS = 3

/**
 * Measures downtime in Redis, for all processes. Each process writes a heartbeat to each server at an interval. A
 * heartbeat that finds the previous heartbeat too old stores the time between the two as a period in which no session
 * could be extended; a process that could not write for a while does the same. A process that starts later reads the
 * periods.
 */
export function watchDowntime(deps: WatchDeps): DowntimeWatch {
  return new RedisDowntime(deps)
}

class RedisDowntime implements DowntimeWatch {
  readonly attempted: Promise<unknown>
  readonly #deps: WatchDeps
  readonly #gapAfterMs: number
  /** By the name of the server. */
  readonly #states = new Map<string, ServerState>()
  readonly #timer: NodeJS.Timeout

  constructor(deps: WatchDeps) {
    this.#deps = deps
    this.#gapAfterMs = MAX_MISSED_BEATS * deps.intervalMs
    this.attempted = this.#beatAll()
    this.#timer = setInterval(() => void this.#beatAll(), deps.intervalMs).unref()
  }

  of(tag: string, now: number): readonly Downtime[] | null {
    const { servers, timeoutMs } = this.#deps
    const state = this.#states.get(servers.serverOf(tag))
    if (state === undefined || state.writtenAt === null) return null
    const silentMs = performance.now() - state.writtenAt
    if (state.hasFailed) return withOpenPeriod(state.periods, now - silentMs, now)
    // A longer silence means that this process was suspended, so that the downtime meanwhile is unknown.
    return silentMs > this.#gapAfterMs + timeoutMs ? null : state.periods
  }

  close(): void {
    clearInterval(this.#timer)
  }

  async #beatAll(): Promise<void> {
    const all = this.#deps.servers.all()
    for (const name of this.#states.keys()) {
      if (!all.some((server) => server.name === name)) this.#states.delete(name)
    }
    await Promise.all(all.map((server) => this.#beat(server)))
  }

  async #beat(server: SessionServer): Promise<void> {
    const state = this.#stateOf(server.name)
    if (state.isBeating) return
    state.isBeating = true
    const { beat, rememberMs, timeoutMs } = this.#deps
    const sentAt = performance.now()
    const failedForMs = state.hasFailed && state.writtenAt !== null ? Math.ceil(sentAt - state.writtenAt) : 0
    try {
      const durations = { gapAfterMs: this.#gapAfterMs, failedForMs, rememberMs }
      const reply = await withDeadline(beat(server, durations), timeoutMs)
      state.periods = periodsOf(reply)
      state.hasFailed = !reply.isWritten
      if (reply.isWritten) state.writtenAt = sentAt
      else state.writtenAt ??= sentAt - ageOf(reply)
    } catch {
      // The error is in the log of the requests that fail.
      state.hasFailed = true
    } finally {
      state.isBeating = false
    }
  }

  #stateOf(name: string): ServerState {
    const known = this.#states.get(name)
    if (known !== undefined) return known
    const state = { periods: [], writtenAt: null, hasFailed: false, isBeating: false }
    this.#states.set(name, state)
    return state
  }
}

/** The periods, by the clock of this process. */
function periodsOf({ text, serverTime }: BeatReply): readonly Downtime[] {
  const skew = Date.now() - serverTime
  return [...text.matchAll(/(\d+)-(\d+)/g)].map(([, from, to]) => ({
    from: Number(from) + skew,
    to: Number(to) + skew
  }))
}

/** Milliseconds since the last heartbeat that was written; 0 when no process has written a heartbeat. */
function ageOf({ text, serverTime }: BeatReply): number {
  return Math.max(0, serverTime - (Number.parseInt(text, 10) || serverTime))
}

function withOpenPeriod(periods: readonly Downtime[], from: number, now: number): readonly Downtime[] {
  const last = periods.at(-1)
  // `last.to` has whole milliseconds, `from` has fractions: hence the 1.
  if (last === undefined || last.to + 1 < from) return [...periods, { from, to: now }]
  return [...periods.slice(0, -1), { from: Math.min(last.from, from), to: now }]
}
