import type { Downtime } from './session-store.js'

/** What a call of the store does: one that writes a record proves that activity can be written. */
export type CallKind = 'read' | 'write' | 'end'

/** More periods than a store that fails now and then has in the time for which they matter. */
const MAX_PERIODS = 64
const REMEMBERED_MS = 30 * 24 * 3_600_000

/**
 * When a store could not write, as far as this process can tell from its own calls: for a store that does not measure
 * its downtime itself. A period lasts from the start of the first call that fails to the last call that has failed: time
 * in which no call failed is no downtime, or one failed write would let idle users in until the next write. Calls that
 * fail within half the idle timeout of each other are one period, unless something was written in between: users who
 * request that rarely are not active. Times are epoch milliseconds by the clock of this process.
 */
export class LocalDowntime {
  readonly #longestPauseMs: number
  #periods: Downtime[] = []
  /** Whether the next call that fails may belong to the last period. */
  #isOpen = false
  #hasWriteFailed = false

  /** @param idleMs milliseconds of the idle timeout */
  constructor(idleMs: number) {
    this.#longestPauseMs = idleMs / 2
  }

  /** A call that began at `startedAt` has failed, or was rejected by the circuit breaker. */
  onFailure(kind: CallKind, startedAt: number): void {
    const now = Date.now()
    const last = this.#periods.at(-1)
    const isSame = this.#isOpen && last !== undefined && startedAt - last.to <= this.#longestPauseMs
    this.#add({ from: isSame ? Math.min(startedAt, last.from) : startedAt, to: now }, now)
    this.#isOpen = true
    if (kind !== 'read') this.#hasWriteFailed = true
  }

  /** @param hasWritten whether the call has stored a record. A session can often be ended where none can be stored */
  onSuccess(kind: CallKind, hasWritten: boolean): void {
    if (!this.#isOpen) return
    if (!hasWritten && (kind !== 'read' || this.#hasWriteFailed)) return
    this.#isOpen = false
    this.#hasWriteFailed = false
  }

  /** The periods, the oldest first, without overlaps. At most 64, of the last 30 days. */
  get periods(): readonly Downtime[] {
    return this.#periods
  }

  /** Behind the periods, joined with those that it overlaps. A clock may have been set back: a period is never negative. */
  #add({ from, to }: Downtime, now: number): void {
    const earlier = this.#periods.filter((period) => period.to < from)
    const overlapping = this.#periods.slice(earlier.length)
    const start = Math.min(from, ...overlapping.map((period) => period.from))
    const end = Math.max(start, to, ...overlapping.map((period) => period.to))
    const periods = [...earlier, { from: start, to: end }].filter((period) => period.to > now - REMEMBERED_MS)
    this.#periods = periods.length > MAX_PERIODS ? withoutShortest(periods) : periods
  }
}

/** The shortest matters least: to forget an outage could end sessions, to close the time between two would lengthen them. */
function withoutShortest(periods: Downtime[]): Downtime[] {
  const lengths = periods.slice(0, -1).map(({ from, to }) => to - from)
  return periods.toSpliced(lengths.indexOf(Math.min(...lengths)), 1)
}
