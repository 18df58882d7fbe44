import type { AnyReply, AnyRequest } from '../http/error-reply.js'
import { nameGuard } from './guard-hooks.js'

/**
 * The guard, for `onRequest`, `preParsing`, `preValidation` or `preHandler` of a route or of a scope: sets
 * `request.session`, or answers the request and then fails with the error that was answered. Nothing runs behind a refusal.
 * The route's `config.session` changes what the guard does: see `SessionRouteSettings`.
 *
 * Called with a callback, as Fastify calls a hook, the guard calls it exactly once, with the error of a refusal, and returns
 * nothing. Without a callback the guard returns a promise, which rejects for code that awaits it and is never an unhandled
 * rejection.
 *
 * The errors: `SessionMissingError` (no bearer token was sent), `SessionEndedError` (there is no session behind the token),
 * `LoginNeededError` (the session is stored in a way that this release cannot use), `SessionNotFreshError` (the login was too
 * long ago for the route), `StoreUnavailableError`, `InvalidOptionError` (the route's settings are wrong).
 */
export interface VerifySession {
  (request: AnyRequest, reply: AnyReply): Promise<void>
  (request: AnyRequest, reply: AnyReply, done: (error?: Error) => void): void
}

/** Both forms of a call in one. A preParsing hook has the payload in the third place: it is called for a promise. */
export type GuardCall = (request: AnyRequest, reply: AnyReply, done?: unknown) => Promise<void> | undefined

/**
 * A guard that can be called as a hook, by hand with a callback, or by hand for a promise.
 *
 * @param verify resolves, or gives undefined at once, for a request that is let through; rejects once the request is answered
 */
export function createGuard(
  verify: (request: AnyRequest, reply: AnyReply) => Promise<void> | undefined
): VerifySession {
  const guard: GuardCall = (request, reply, done) => {
    const verified = verify(request, reply)
    if (typeof done === 'function') return callBack(verified, reply, done as (error?: unknown) => void)
    const promise = verified ?? Promise.resolve()
    promise.catch(() => {})
    return promise
  }
  return nameGuard(guard as VerifySession)
}

/** Calls back exactly once, also when the callback throws. Fastify takes a promise for a second call, so there is none. */
function callBack(verified: Promise<void> | undefined, reply: AnyReply, done: (error?: unknown) => void): undefined {
  if (verified === undefined) return void done()
  verified.then(() => done(), done).catch((thrown: unknown) => reply.send(toError(thrown)))
}

/** What a callback throws is answered as what a hook throws. Text would be sent as it is. */
function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('A callback of verifySession has thrown', { cause: thrown })
}
