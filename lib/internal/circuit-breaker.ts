import type { FastifyBaseLogger } from 'fastify'

/** When a breaker gives up on somebody, and how it comes back to him. */
export interface BreakerLimits {
  /** How many must have asked in vain, with no answer to anybody since the first of them asked, until nobody may. */
  failures: number
  /** Milliseconds until one may ask again. */
  probeAfterMs: number
  /** How many may ask at the same time. */
  maxInFlight: number
}

/** What became of some work: somebody answered, whatever he said; nobody did; or it was given up before. */
export type Outcome = 'answered' | 'failed' | 'given up'

/**
 * Stands in front of somebody who may not answer. As long as he does not, whoever asks is refused at once instead of
 * waiting in a queue that grows; but for one at a time, who finds out whether he is back.
 */
export interface Breaker {
  /**
   * @param outcomeOf what it means that the work has thrown this
   * @throws {BreakerError} the work was not begun
   */
  run<T>(work: () => Promise<T>, outcomeOf: (error: unknown) => Outcome): Promise<T>
}

/** Why some work was not begun. */
export class BreakerError extends Error {
  readonly code: 'CIRCUIT_OPEN' | 'TOO_MANY_IN_FLIGHT'

  constructor(code: BreakerError['code']) {
    super(code)
    this.code = code
  }
}

// Made once: with many to refuse, the stack trace of each is what costs most.
const CIRCUIT_OPEN = new BreakerError('CIRCUIT_OPEN')
const TOO_MANY_IN_FLIGHT = new BreakerError('TOO_MANY_IN_FLIGHT')

/** Work of somebody else may never be over: then another one may ask. */
const LONGEST_PROBE_MS = 60_000

/** @param onChange told when it begins to refuse everybody, and when it no longer does */
export function createBreaker(limits: BreakerLimits, onChange: (isOpen: boolean) => void): Breaker {
  let inFlight = 0
  let answers = 0
  let failures = 0
  /** By `performance.now()`; null as long as everybody may ask. */
  let probeAt: number | null = null
  /** By `performance.now()`: until then one who asks may be waiting for his answer. */
  let probingUntil = 0

  function answered(): void {
    answers++
    failures = 0
    if (probeAt === null) return
    probeAt = null
    onChange(false)
  }

  function notAnswered(hasFailed: boolean, isProbe: boolean, answersBefore: number): void {
    // Somebody was answered meanwhile: of a Cluster one master is down, which is no reason to refuse everybody.
    if (answers > answersBefore) return
    if (isProbe || (hasFailed && probeAt === null && ++failures >= limits.failures)) open()
  }

  function open(): void {
    const isNew = probeAt === null
    probeAt = performance.now() + limits.probeAfterMs
    if (isNew) onChange(true)
  }

  return {
    async run(work, outcomeOf) {
      const isProbe = probeAt !== null
      if (probeAt !== null && performance.now() < Math.max(probeAt, probingUntil)) throw CIRCUIT_OPEN
      if (inFlight >= limits.maxInFlight && !isProbe) throw TOO_MANY_IN_FLIGHT
      const answersBefore = answers
      inFlight++
      if (isProbe) probingUntil = performance.now() + LONGEST_PROBE_MS
      const settle = (outcome: Outcome) => {
        inFlight--
        if (isProbe) probingUntil = 0
        if (outcome === 'answered') answered()
        else notAnswered(outcome === 'failed', isProbe, answersBefore)
      }
      let result: Awaited<ReturnType<typeof work>>
      try {
        result = await work()
      } catch (error) {
        settle(outcomeOf(error))
        throw error
      }
      settle('answered')
      return result
    }
  }
}

/** Says so in the log, once each time: a request that is refused looks like many others. */
export function logBreaker(log: FastifyBaseLogger, name: string): (isOpen: boolean) => void {
  return (isOpen) => {
    if (isOpen) log.error(`The ${name} does not answer: requests that need it are answered 503 at once until it does`)
    else log.info(`The ${name} answers again`)
  }
}
