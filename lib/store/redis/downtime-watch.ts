import { withDeadline } from '../../internal/deadline.js'
import type { Downtime, DowntimeOptions, DowntimeWatch } from '../session-store.js'
import type { Servers, SessionServer } from './servers.js'

/** Runs `beat` of the script on a server; rejects when the server does not run it. */
export type Beat = (server: SessionServer, durations: BeatDurations) => Promise<BeatReply>

/** Arguments of `beat`, in milliseconds. */
export interface BeatDurations {
  gapAfterMs: number
  failedForMs: number
  rememberMs: number
}

/** What `beat` replies. */
export interface BeatReply {
  /** False: the server refuses writes. */
  isWritten: boolean
  /** The last beat that was written, then the periods: `last from-to from-to …`, epoch milliseconds of the server. */
  text: string
  /** The clock of the server. */
  serverTime: number
}

/** What is needed to watch servers. */
export interface WatchDeps extends DowntimeOptions {
  servers: Servers
  beat: Beat
}

/** What is known of one server. */
interface ServerState {
  /** The periods that the server knows, by the clock of this process. */
  periods: readonly Downtime[]
  /** `performance.now()` of the last beat that was written, as far as known; null before. */
  writtenAt: number | null
  /** Whether the last beat of this process was not written. */
  hasFailed: boolean
  isBeating: boolean
}

/** A beat that is so many intervals old shows that no process could write. */
const MAX_MISSED_BEATS = 3

/**
 * Downtime is measured by Redis and shared: each process writes a beat to each server again and again, and a beat that
 * finds the beat before it too old leaves the time between them as a period in which no session could be extended. So does
 * the beat of a process that could not write for a while, alone or not. A process that starts later learns of it.
 */
export function watchDowntime({ servers, beat, intervalMs, rememberMs, timeoutMs }: WatchDeps): DowntimeWatch {
  const gapAfterMs = MAX_MISSED_BEATS * intervalMs
  const states = new Map<string, ServerState>()

  function stateOf(name: string): ServerState {
    const known = states.get(name)
    if (known !== undefined) return known
    const state = { periods: [], writtenAt: null, hasFailed: false, isBeating: false }
    states.set(name, state)
    return state
  }

  async function beatOnce(server: SessionServer): Promise<void> {
    const state = stateOf(server.name)
    if (state.isBeating) return
    state.isBeating = true
    const sentAt = performance.now()
    const failedForMs = state.hasFailed && state.writtenAt !== null ? Math.ceil(sentAt - state.writtenAt) : 0
    try {
      const reply = await withDeadline(beat(server, { gapAfterMs, failedForMs, rememberMs }), timeoutMs)
      state.periods = periodsOf(reply)
      state.hasFailed = !reply.isWritten
      if (reply.isWritten) state.writtenAt = sentAt
      else state.writtenAt ??= sentAt - ageOf(reply)
    } catch {
      // The requests that fail tell the reason.
      state.hasFailed = true
    } finally {
      state.isBeating = false
    }
  }

  async function beatAll(): Promise<void> {
    const all = servers.all()
    for (const name of states.keys()) if (!all.some((server) => server.name === name)) states.delete(name)
    await Promise.all(all.map(beatOnce))
  }

  const attempted = beatAll()
  const timer = setInterval(() => void beatAll(), intervalMs).unref()

  return {
    attempted,
    of(tag, now) {
      const state = states.get(servers.serverOf(tag))
      if (state === undefined || state.writtenAt === null) return null
      const silentMs = performance.now() - state.writtenAt
      if (state.hasFailed) return withOpenPeriod(state.periods, now - silentMs, now)
      // This process was suspended, and does not know what happened meanwhile.
      return silentMs > gapAfterMs + timeoutMs ? null : state.periods
    },
    close: () => clearInterval(timer)
  }
}

/** By the clock of this process. */
function periodsOf({ text, serverTime }: BeatReply): readonly Downtime[] {
  const skew = Date.now() - serverTime
  return [...text.matchAll(/(\d+)-(\d+)/g)].map(([, from, to]) => ({
    from: Number(from) + skew,
    to: Number(to) + skew
  }))
}

/** Milliseconds since the last beat that was written; zero when no process has written one yet. */
function ageOf({ text, serverTime }: BeatReply): number {
  return Math.max(0, serverTime - (Number.parseInt(text, 10) || serverTime))
}

function withOpenPeriod(periods: readonly Downtime[], from: number, now: number): readonly Downtime[] {
  const last = periods.at(-1)
  // The clock of the periods has whole milliseconds, the clock of `from` has fractions.
  if (last === undefined || last.to + 1 < from) return [...periods, { from, to: now }]
  return [...periods.slice(0, -1), { from: Math.min(last.from, from), to: now }]
}
