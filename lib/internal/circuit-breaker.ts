/** When a circuit opens, and how it closes again. */
export interface BreakerLimits {
  /** Consecutive failures that open the circuit: calls without a response to any call since the failed call began. */
  failures: number
  /** Milliseconds from the opening, or from the last failed probe, to the next probe. After an abandoned probe: none. */
  probeAfterMs: number
  /** Calls that may be under way at the same time. */
  maxInFlight: number
}

/**
 * The outcome of a call that did not resolve: the dependency responded, with whatever content; it did not; or the call
 * was abandoned before the dependency had its time, which says nothing about it.
 */
export type Outcome = 'response' | 'failure' | 'abandoned'

/**
 * A circuit breaker. While the circuit is open, calls are rejected at once; one probe at a time checks whether the
 * dependency has recovered. Any response closes the circuit.
 */
export interface Breaker {
  /**
   * @param outcomeOf the outcome of a call that has rejected with this error
   * @throws {BreakerError} the call was not started
   */
  run<T>(call: () => Promise<T>, outcomeOf: (error: unknown) => Outcome): Promise<T>
}

/** Why a call was not started. */
export class BreakerError extends Error {
  readonly code: 'CIRCUIT_OPEN' | 'TOO_MANY_IN_FLIGHT'

  constructor(code: BreakerError['code']) {
    super(code)
    this.code = code
  }
}

// Made once: with many calls to reject, the stack trace of each is the greatest cost.
const CIRCUIT_OPEN = new BreakerError('CIRCUIT_OPEN')
const TOO_MANY_IN_FLIGHT = new BreakerError('TOO_MANY_IN_FLIGHT')

/** A probe may never settle: then the next call is the probe. */
const LONGEST_PROBE_MS = 60_000

/** By the milliseconds of `performance.now()`. */
type Clock = () => number

const monotonicClock: Clock = () => performance.now()

/** @param onChange called with true when the circuit opens, and with false when it closes */
export function createBreaker(
  limits: BreakerLimits,
  onChange: (isOpen: boolean) => void,
  clock: Clock = monotonicClock
): Breaker {
  return new CircuitBreaker(limits, onChange, clock)
}

class CircuitBreaker implements Breaker {
  readonly #limits: BreakerLimits
  readonly #onChange: (isOpen: boolean) => void
  readonly #clock: Clock
  /** Half-open: a probe is under way. */
  #state: 'closed' | 'open' | 'half-open' = 'closed'
  /** When the circuit is not closed: the time of the next probe. */
  #probeAt = 0
  /** Counts the probes: a probe that was given up in favor of another is a call like any other. */
  #probe = 0
  #inFlight = 0
  #failures = 0
  #responses = 0

  constructor(limits: BreakerLimits, onChange: (isOpen: boolean) => void, clock: Clock) {
    this.#limits = limits
    this.#onChange = onChange
    this.#clock = clock
  }

  async run<T>(call: () => Promise<T>, outcomeOf: (error: unknown) => Outcome): Promise<T> {
    const probe = this.#admit()
    const responsesBefore = this.#responses
    this.#inFlight++
    let result: Awaited<T>
    try {
      result = await call()
    } catch (error) {
      this.#inFlight--
      const outcome = outcomeOf(error)
      if (outcome === 'response') this.#onResponse()
      // A response to any other call since then: the dependency is there.
      else if (this.#responses === responsesBefore) this.#onNoResponse(outcome, probe)
      throw error
    }
    this.#inFlight--
    this.#onResponse()
    return result
  }

  /** Whether the breaker could be replaced by a new breaker without a difference; or was left open and is not called any more. */
  get isForgettable(): boolean {
    if (this.#inFlight > 0) return false
    return this.#state === 'closed' ? this.#failures === 0 : this.#clock() > this.#probeAt + LONGEST_PROBE_MS
  }

  /**
   * The number of the probe that the call is; null for a call like any other.
   *
   * @throws {BreakerError}
   */
  #admit(): number | null {
    if (this.#state === 'closed') {
      if (this.#inFlight >= this.#limits.maxInFlight) throw TOO_MANY_IN_FLIGHT
      return null
    }
    const now = this.#clock()
    if (now < this.#probeAt) throw CIRCUIT_OPEN
    // Also when as many calls are under way as may be: calls that hang must not keep the circuit open.
    this.#state = 'half-open'
    this.#probeAt = now + LONGEST_PROBE_MS
    return ++this.#probe
  }

  #onResponse(): void {
    this.#responses++
    this.#failures = 0
    if (this.#state === 'closed') return
    this.#state = 'closed'
    this.#onChange(false)
  }

  #onNoResponse(outcome: Outcome, probe: number | null): void {
    if (this.#state === 'closed') {
      if (outcome === 'failure' && ++this.#failures >= this.#limits.failures) this.#open()
    } else if (probe === this.#probe) {
      // An abandoned probe has said nothing: whether the dependency has recovered is for the next call to find out.
      if (outcome === 'failure') this.#open()
      else this.#openUntil(this.#clock())
    }
    // A call from before the opening says nothing new: it does not put off the next probe.
  }

  #open(): void {
    const isNew = this.#state === 'closed'
    this.#openUntil(this.#clock() + this.#limits.probeAfterMs)
    if (isNew) this.#onChange(true)
  }

  #openUntil(probeAt: number): void {
    this.#state = 'open'
    this.#probeAt = probeAt
  }
}

/** Breakers by the name of what they guard, such as one master of a Cluster. */
export interface BreakersConfig {
  limits: BreakerLimits
  /** Called when the circuit of this name opens or closes. */
  onChange(name: string, isOpen: boolean): void
  clock?: Clock
}

/** More than masters of a Cluster in use; masters come and go, and what has gone must not take memory for good. */
const MANY_BREAKERS = 128

/**
 * A breaker per name: the function returns the breaker of the name, the same as long as its state matters. Among many,
 * breakers that are closed and idle, or open and not called any more, are forgotten.
 */
export function createBreakers({
  limits,
  onChange,
  clock = monotonicClock
}: BreakersConfig): (name: string) => Breaker {
  const breakers = new Map<string, CircuitBreaker>()

  function forgetIdle(): void {
    for (const [name, breaker] of breakers) if (breaker.isForgettable) breakers.delete(name)
  }

  return (name) => {
    const known = breakers.get(name)
    if (known !== undefined) return known
    if (breakers.size >= MANY_BREAKERS) forgetIdle()
    const breaker = new CircuitBreaker(limits, (isOpen) => onChange(name, isOpen), clock)
    breakers.set(name, breaker)
    return breaker
  }
}

/** Logs each opening and each closing once: a rejected call looks like many others. */
export function logBreaker(
  log: { error(text: string): void; info(text: string): void },
  name: string
): (isOpen: boolean) => void {
  return (isOpen) => {
    if (isOpen) log.error(`The ${name} does not respond: requests that need it are answered 503 at once until it does`)
    else log.info(`The ${name} responds again`)
  }
}
