import type { JwtSessionError, SessionEndedError, SessionEndReason } from '../errors.js'
import { type VerifyMessage, verifications } from './channels.js'

type Refusal = Exclude<VerifyMessage['outcome'], 'ok'>

/** An error with another code, such as that of a misconfigured route, is no outcome of a verification. */
const REFUSALS = new Map<string, Refusal>([
  ['FST_JWT_SESSION_MISSING', 'missing'],
  ['FST_JWT_SESSION_ENDED', 'ended'],
  ['FST_JWT_SESSION_NOT_FRESH', 'not_fresh'],
  ['FST_JWT_SESSION_LOGIN_NEEDED', 'login_needed'],
  ['FST_JWT_SESSION_CROSS_SITE', 'cross_site'],
  ['FST_JWT_SESSION_STORE_UNAVAILABLE', 'unavailable']
])

/** The part of a request that a message has. */
interface Routed {
  readonly routeOptions: { readonly url?: string | undefined }
}

/** Starts the clock of a verification. Null without a subscriber: the hot path then pays for one property. */
export function startVerification(request: Routed | null): Verification | null {
  return verifications.hasSubscribers ? new Verification(request?.routeOptions.url ?? null) : null
}

/** Publishes the outcome of a call of the store, and passes the outcome on. */
export function observeLoading<T>(verification: Verification | null, loading: Promise<T>): Promise<T> {
  return verification === null ? loading : publishOutcome(verification, loading)
}

async function publishOutcome<T>(verification: Verification, loading: Promise<T>): Promise<T> {
  try {
    const loaded = await loading
    verification.succeed({ cached: false })
    return loaded
  } catch (error) {
    verification.fail(error, { cached: false })
    throw error
  }
}

/** A verification in progress, with a subscriber. */
export class Verification {
  readonly #startedAt = performance.now()
  readonly #route: string | null

  /** @param route the pattern of the route */
  constructor(route: string | null) {
    this.#route = route
  }

  /** Publishes that the token has a live session. */
  succeed({ cached }: { cached: boolean }): void {
    this.#publish('ok', cached)
  }

  /** Publishes the refusal, if the error is a refusal. */
  fail(error: unknown, { cached }: { cached: boolean }): void {
    const outcome = REFUSALS.get((error as JwtSessionError).code)
    if (outcome === undefined) return
    this.#publish(outcome, cached, (error as Partial<SessionEndedError>).reason)
  }

  /** Two literals: to freeze an object with a spread takes 10 µs. */
  #publish(outcome: VerifyMessage['outcome'], cached: boolean, reason?: SessionEndReason): void {
    const durationMs = performance.now() - this.#startedAt
    const route = this.#route
    if (reason === undefined) verifications.publish({ outcome, cached, durationMs, route })
    else verifications.publish({ outcome, reason, cached, durationMs, route })
  }
}
