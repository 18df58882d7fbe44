import type { Circuit } from '../internal/circuit-breaker.js'

/** The state of one registration in this process, at the time of the call. */
export interface SessionsStats {
  /** Open streams of `GET /user/session/events`. */
  openStreams: number
  /** Pending calls. Calls in the background, such as the end of an abandoned session, do not count. */
  inFlight: { store: number; upstream: number }
  /**
   * `'open'`: calls are rejected, except for one probe at a time. `store`: with several servers `'open'` while the
   * circuit of any server is open. `upstream`: for logins and registrations; `'closed'` without an upstream.
   */
  breaker: { store: 'open' | 'closed'; upstream: 'open' | 'closed' }
  /** Null without a cache. */
  cache: CacheStats | null
}

/** The cache of verified sessions. */
export interface CacheStats {
  /** Tokens in the cache. */
  size: number
  /** Lookups that found a session, since the start. */
  hits: number
  /** Lookups that found no session, since the start; also for tokens without a session. */
  misses: number
}

/** Where {@link SessionsStats} come from. */
export interface StatsSources {
  /** Null: the route is off. */
  streams: { readonly size: number } | null
  store: { readonly circuit: Circuit }
  /** Null: no upstream. */
  upstream: { readonly circuit: Circuit } | null
  cache: { readonly stats: CacheStats | null }
}

const NO_CIRCUIT: Circuit = { isOpen: false, inFlight: 0 }

/** Creates `app.sessions.stats()`. Nothing is counted twice: the call reads what the parts know anyway. */
export function createStats({ streams, store, upstream, cache }: StatsSources): () => SessionsStats {
  return () => {
    const { circuit = NO_CIRCUIT } = upstream ?? {}
    return {
      openStreams: streams?.size ?? 0,
      inFlight: { store: store.circuit.inFlight, upstream: circuit.inFlight },
      breaker: { store: stateOf(store.circuit), upstream: stateOf(circuit) },
      cache: cache.stats
    }
  }
}

function stateOf({ isOpen }: Circuit): 'open' | 'closed' {
  return isOpen ? 'open' : 'closed'
}
