/** Limits of a circuit breaker. */
export interface BreakerLimits {
  /**
   * Consecutive failures that open the circuit. A failed call does not count when another call got a response in the
   * meantime.
   */
  failures: number
  /** Milliseconds from the opening, or from a failed probe, to the next probe. After an abandoned probe: 0. */
  probeAfterMs: number
  /** Maximum of concurrent calls. */
  maxInFlight: number
}

/**
 * The outcome of a call. `response`: the dependency responded, also with an error. `failure`: no
 * response. `abandoned`: the caller gave up first, and the state of the dependency is unknown.
 */
export type Outcome = 'response' | 'failure' | 'abandoned'

/** Reports the outcome of an admitted call, once. */
export type SettleCall = (outcome: Outcome) => void

/** What is visible of a circuit breaker, or of several breakers together. */
export interface Circuit {
  /** Whether calls are rejected, except for a probe. Of several breakers: whether any circuit is open. */
  readonly isOpen: boolean
  /** Pending calls. */
  readonly inFlight: number
}

/**
 * A circuit breaker. While the circuit is open, calls are rejected at once; a single probe at a time checks whether the
 * dependency has recovered. Any response closes the circuit, even to an earlier call.
 */
export interface Breaker extends Circuit {
  /**
   * Admits a call while the circuit is closed, or as the probe. The caller makes the call and reports the outcome.
   *
   * @throws {BreakerError} the call must not start
   */
  admit(): SettleCall
  /**
   * Runs a call that is admitted, and reports the outcome.
   *
   * @param outcomeOf classifies the error of a rejected call
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

// Created once: a stack trace per rejected call would dominate the cost of an outage.
const CIRCUIT_OPEN = new BreakerError('CIRCUIT_OPEN')
const TOO_MANY_IN_FLIGHT = new BreakerError('TOO_MANY_IN_FLIGHT')

/** A probe may never settle: after a minute the next call becomes the probe. */
const MAX_PROBE_MS = 60_000

/** Milliseconds of a monotonic clock. */
export type Clock = () => number

/** The clock of the process. */
export const monotonicClock: Clock = () => performance.now()

/**
 * Creates a closed circuit breaker.
 *
 * @param onChange called with true when the circuit opens, with false when the circuit closes
 */
export function createBreaker(
  limits: BreakerLimits,
  onChange: (isOpen: boolean) => void,
  clock: Clock = monotonicClock
): Breaker {
  return new CircuitBreaker(limits, onChange, clock)
}

/** The circuit breaker of {@link createBreaker}. */
export class CircuitBreaker implements Breaker {
  readonly #limits: BreakerLimits
  readonly #onChange: (isOpen: boolean) => void
  readonly #clock: Clock
  /** Half-open: a probe is pending. */
  #state: 'closed' | 'open' | 'half-open' = 'closed'
  /** The time of the next probe, unless the circuit is closed. */
  #probeAt = 0
  /** The number of the current probe. The outcome of an older probe does not end the current probe. */
  #probeNumber = 0
  #inFlight = 0
  #failures = 0
  #responses = 0

  constructor(limits: BreakerLimits, onChange: (isOpen: boolean) => void, clock: Clock) {
    this.#limits = limits
    this.#onChange = onChange
    this.#clock = clock
  }

  admit(): SettleCall {
    const probe = this.#admit()
    const responsesBefore = this.#responses
    this.#inFlight++
    return (outcome) => {
      this.#inFlight--
      if (outcome === 'response') this.#onResponse()
      // Otherwise another call has got a response since: the dependency is up.
      else if (this.#responses === responsesBefore) this.#onNoResponse(outcome, probe)
    }
  }

  async run<T>(call: () => Promise<T>, outcomeOf: (error: unknown) => Outcome): Promise<T> {
    const settle = this.admit()
    let result: Awaited<T>
    try {
      result = await call()
    } catch (error) {
      settle(outcomeOf(error))
      throw error
    }
    settle('response')
    return result
  }

  get isOpen(): boolean {
    return this.#state !== 'closed'
  }

  get inFlight(): number {
    return this.#inFlight
  }

  /** Whether the state does not matter: closed and idle, or open and without calls for a minute. */
  get isDisposable(): boolean {
    if (this.#inFlight > 0) return false
    return this.#state === 'closed' ? this.#failures === 0 : this.#clock() > this.#probeAt + MAX_PROBE_MS
  }

  /**
   * Admits a call. Returns the number of the probe, or null for a normal call.
   *
   * @throws {BreakerError} the circuit is open, or the maximum of concurrent calls is reached
   */
  #admit(): number | null {
    if (this.#state === 'closed') {
      if (this.#inFlight >= this.#limits.maxInFlight) throw TOO_MANY_IN_FLIGHT
      return null
    }
    const now = this.#clock()
    if (now < this.#probeAt) throw CIRCUIT_OPEN
    // A probe ignores `maxInFlight`: hanging calls must not keep the circuit open.
    this.#state = 'half-open'
    this.#probeAt = now + MAX_PROBE_MS
    return ++this.#probeNumber
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
    } else if (probe === this.#probeNumber) {
      // After an abandoned probe the next call is a probe at once.
      if (outcome === 'failure') this.#open()
      else this.#openUntil(this.#clock())
    }
    // A call from before the opening does not delay the next probe.
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

/** Logs when a circuit opens and closes, once each: a line per rejected call would flood the log. */
export function logBreaker(
  log: { error(text: string): void; info(text: string): void },
  name: string
): (isOpen: boolean) => void {
  return (isOpen) => {
    if (isOpen)
      log.error(
        `The ${name} does not respond: until a probe succeeds, requests that need the ${name} are answered 503 at once`
      )
    else log.info(`The ${name} responds again`)
  }
}
