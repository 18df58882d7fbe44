import type { Downtime } from './session-store.js'

/** What a call of the store does. A `'write'` that succeeds proves that activity can be written. */
export type CallKind = 'read' | 'write' | 'end'

/** Sufficient for a store that fails now and then, for as long as the periods matter. */
const MAX_PERIODS = 64
const REMEMBERED_MS = 30 * 24 * 3_600_000

/**
 * The downtime of a store that does not measure downtime, by the calls of this process. A period lasts from the start
 * of the first failed call to the end of the last failed call. Time without failed calls is no downtime: otherwise one
 * failed write would let idle users in until the next write. Failed calls within half the idle timeout of each other
 * are one period, unless a write succeeded between them: users with fewer requests are not active. Times are epoch
 * milliseconds by the clock of this process.
 */
export class LocalDowntime {
  readonly #longestPauseMs: number
  #periods: Downtime[] = []
  /** Whether the next failed call may extend the last period. */
  #isOpen = false
  #hasWriteFailed = false

  /** @param idleMs milliseconds of the idle timeout */
  constructor(idleMs: number) {
    this.#longestPauseMs = idleMs / 2
  }

  /** A call with this start (epoch milliseconds) has failed, or was rejected by the circuit breaker. */
  onFailure(kind: CallKind, startedAt: number): void {
    const now = Date.now()
    const last = this.#periods.at(-1)
    const isSame = this.#isOpen && last !== undefined && startedAt - last.to <= this.#longestPauseMs
    this.#add({ from: isSame ? Math.min(startedAt, last.from) : startedAt, to: now }, now)
    this.#isOpen = true
    if (kind !== 'read') this.#hasWriteFailed = true
  }

  /** @param hasWritten whether the call has stored a record. A full store often ends sessions and stores no record */
  onSuccess(kind: CallKind, hasWritten: boolean): void {
    if (!hasWritten && (kind !== 'read' || this.#hasWriteFailed)) return
    this.#isOpen = false
    this.#hasWriteFailed = false
  }

  /** The periods, the oldest first, without overlaps. At most 64, of the last 30 days. */
  get periods(): readonly Downtime[] {
    return this.#periods
  }

  /**
   * Adds a period, merged with the periods that overlap. A period is never negative, also when the clock was set back.
   */
  #add({ from, to }: Downtime, now: number): void {
    const earlier = this.#periods.filter((period) => period.to < from)
    const overlapping = this.#periods.slice(earlier.length)
    const start = Math.min(from, ...overlapping.map((period) => period.from))
    const end = Math.max(start, to, ...overlapping.map((period) => period.to))
    const periods = [...earlier, { from: start, to: end }].filter((period) => period.to > now - REMEMBERED_MS)
    this.#periods = periods.length > MAX_PERIODS ? withoutShortest(periods) : periods
  }
}

/**
 * The shortest period matters least: to forget a long outage could end sessions, and to merge two periods could extend
 * sessions.
 */
function withoutShortest(periods: Downtime[]): Downtime[] {
  const lengths = periods.slice(0, -1).map(({ from, to }) => to - from)
  return periods.toSpliced(lengths.indexOf(Math.min(...lengths)), 1)
}
