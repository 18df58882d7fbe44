import { isJwtSessionError, isUpstreamError } from '../errors.js'
import type { Channel, LoginMessage } from './channels.js'

/** A login or registration in progress, with a subscriber. The first outcome counts. */
export class Attempt {
  readonly #channel: Channel<LoginMessage>
  readonly #startedAt = performance.now()
  #userId: string | undefined
  #isSettled = false

  constructor(channel: Channel<LoginMessage>) {
    this.#channel = channel
  }

  /** The user is known from now on: the upstream or the application has accepted the user. */
  accept(userId: string | undefined): void {
    this.#userId = userId
  }

  succeed(): void {
    this.#settle('ok')
  }

  /** An error without an outcome has no message: the client has disconnected, or the error is not of this package. */
  fail(error: unknown): void {
    const outcome = outcomeOf(error)
    if (outcome !== null) this.#settle(outcome)
  }

  #settle(outcome: LoginMessage['outcome']): void {
    if (this.#isSettled) return
    this.#isSettled = true
    const userId = this.#userId
    const durationMs = performance.now() - this.#startedAt
    this.#channel.publish({ outcome, durationMs, ...(userId !== undefined && { userId }) })
  }
}

/** Runs an attempt outside of the plugin's routes. The attempt is null without a subscriber. */
export async function observeAttempt<T>(
  channel: Channel<LoginMessage>,
  run: (attempt: Attempt | null) => Promise<T>
): Promise<T> {
  const attempt = channel.hasSubscribers ? new Attempt(channel) : null
  try {
    const result = await run(attempt)
    attempt?.succeed()
    return result
  } catch (error) {
    attempt?.fail(error)
    throw error
  }
}

function outcomeOf(error: unknown): LoginMessage['outcome'] | null {
  if (!isJwtSessionError(error) || error.code === 'FST_JWT_SESSION_CLIENT_GONE') return null
  const { code, statusCode } = error
  if (statusCode >= 500) return 'unavailable'
  if (statusCode === 429 || code === 'FST_JWT_SESSION_LIMIT_REACHED') return 'limit'
  return isUpstreamError(error) ? 'rejected' : 'invalid'
}

/** By requests: an error before the handler, such as an invalid body, reaches the error handler only. */
const attempts = new WeakMap<object, Attempt>()

/** Creates the `onRequest` hook that starts the clock of an attempt. */
export function startAttempt(channel: Channel<LoginMessage>) {
  return (request: object, _reply: unknown, done: () => void): void => {
    if (channel.hasSubscribers) attempts.set(request, new Attempt(channel))
    done()
  }
}

/** The attempt of a request; undefined without a subscriber at the start, and for requests to other routes. */
export function attemptOf(request: object): Attempt | undefined {
  return attempts.get(request)
}
