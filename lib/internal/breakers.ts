import {
  type Breaker,
  type BreakerLimits,
  type Circuit,
  CircuitBreaker,
  type Clock,
  monotonicClock
} from './circuit-breaker.js'

/** Limits and listeners of {@link Breakers}. */
export interface BreakersConfig {
  limits: BreakerLimits
  /** Called when the circuit of a name opens or closes. */
  onChange(name: string, isOpen: boolean): void
  /** Called when the first circuit opens, and when no circuit is open any more. */
  onAnyChange?(isOpen: boolean): void
  clock?: Clock
}

/** Beyond this number disposable breakers are deleted: names come and go, and stale names must not leak memory. */
const CLEANUP_SIZE = 128

/**
 * Circuit breakers by name, for a dependency with several servers. A name keeps the same breaker while the state of the
 * breaker matters.
 */
export class Breakers implements Circuit {
  readonly #config: BreakersConfig
  readonly #byName = new Map<string, CircuitBreaker>()
  #wasOpen = false

  constructor(config: BreakersConfig) {
    this.#config = config
  }

  get isOpen(): boolean {
    return [...this.#byName.values()].some(({ isOpen }) => isOpen)
  }

  get inFlight(): number {
    let inFlight = 0
    for (const breaker of this.#byName.values()) inFlight += breaker.inFlight
    return inFlight
  }

  /** The breaker of the name, closed for a new name. */
  of(name: string): Breaker {
    const known = this.#byName.get(name)
    if (known !== undefined) return known
    if (this.#byName.size >= CLEANUP_SIZE) this.#cleanUp()
    const { limits, onChange, clock = monotonicClock } = this.#config
    const breaker = new CircuitBreaker(
      limits,
      (isOpen) => {
        onChange(name, isOpen)
        this.#update()
      },
      clock
    )
    this.#byName.set(name, breaker)
    return breaker
  }

  #cleanUp(): void {
    for (const [name, breaker] of this.#byName) if (breaker.isDisposable) this.#byName.delete(name)
    this.#update()
  }

  #update(): void {
    const { isOpen } = this
    if (isOpen === this.#wasOpen) return
    this.#wasOpen = isOpen
    this.#config.onAnyChange?.(isOpen)
  }
}
