import type { BreakerLimits } from '../internal/circuit-breaker.js'
import { checkFields, checkInteger, orDefaultEmpty } from './checks.js'
import type { BreakerOptions, JwtSessionOptions } from './options.js'

/** The limits of both circuit breakers, with every default. */
export interface ResolvedBreakers {
  store: BreakerLimits
  upstream: BreakerLimits
}

/** @throws {InvalidOptionError} */
export function resolveBreakers(breaker: JwtSessionOptions['breaker']): ResolvedBreakers {
  const { store, upstream } = checkFields('breaker', orDefaultEmpty(breaker), ['store', 'upstream'])
  return {
    store: resolveBreaker('breaker.store', store, 10_000),
    // A login in flight takes two sockets: to the client and to the upstream.
    upstream: resolveBreaker('breaker.upstream', upstream, 500)
  }
}

function resolveBreaker(option: string, limits: BreakerOptions | undefined, maxInFlight: number): BreakerLimits {
  const given = checkFields(option, orDefaultEmpty(limits), ['failures', 'probeAfterMs', 'maxInFlight'])
  return {
    failures: checkInteger(`${option}.failures`, given.failures, 5),
    probeAfterMs: checkInteger(`${option}.probeAfterMs`, given.probeAfterMs, 250),
    maxInFlight: checkInteger(`${option}.maxInFlight`, given.maxInFlight, maxInFlight)
  }
}
