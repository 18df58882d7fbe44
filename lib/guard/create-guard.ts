import type { AnyReply, AnyRequest } from '../http/error-reply.js'
import { nameGuard } from './guard-hooks.js'

/**
 * The guard, a hook for `onRequest`, `preParsing`, `preValidation` or `preHandler` of a route or scope. The guard sets
 * `request.session`, or rejects the request: sends the error reply and fails with the error, so that no handler runs.
 * The route's `config.session` configures the guard, see `SessionRouteSettings`.
 *
 * With a callback, the guard returns nothing and calls back exactly once, with the error of a rejected request. Without
 * a callback, the guard returns a promise, whose rejection is never unhandled.
 *
 * Errors: `SessionMissingError` (no token), `CrossSiteError` (a write by the cookie from a page of another origin),
 * `SessionEndedError` (no session for the token), `LoginNeededError` (the record is unusable for this release),
 * `SessionNotFreshError` (the login is older than the route allows), `StoreUnavailableError`, `InvalidOptionError`
 * (invalid settings of the route).
 */
export interface VerifySession {
  (request: AnyRequest, reply: AnyReply): Promise<void>
  (request: AnyRequest, reply: AnyReply, done: (error?: Error) => void): void
}

/** Verifies a request: undefined or a resolved promise admits the request. A rejection comes after the error reply. */
export type Verify = (request: AnyRequest, reply: AnyReply) => Promise<void> | undefined

type Done = (error?: Error) => void

/** Creates a guard for use as a hook, or for calls with a callback or for a promise. */
export function createGuard(verify: Verify): VerifySession {
  function guard(request: AnyRequest, reply: AnyReply): Promise<void>
  function guard(request: AnyRequest, reply: AnyReply, done: Done): void
  // Fastify calls a preParsing hook with the payload as the third argument, for a promise.
  function guard(request: AnyRequest, reply: AnyReply, done?: unknown): Promise<void> | undefined {
    const verified = verify(request, reply)
    if (isCallback(done)) return callBack(verified, reply, done)
    const promise = verified ?? Promise.resolve()
    promise.catch(() => {})
    return promise
  }
  return nameGuard(guard)
}

function isCallback(value: unknown): value is Done {
  return typeof value === 'function'
}

/**
 * Calls back exactly once, also when the callback throws. Returns no promise: Fastify would treat a promise as a second
 * call.
 */
function callBack(verified: Promise<void> | undefined, reply: AnyReply, done: Done): undefined {
  if (verified === undefined) return void done()
  verified.then(() => done(), done).catch((thrown: unknown) => reply.send(toError(thrown)))
}

/**
 * Makes an exception of a callback an error reply, like an exception of a hook. Fastify would send a string unchanged.
 */
function toError(thrown: unknown): Error {
  return thrown instanceof Error ? thrown : new Error('A callback of verifySession threw', { cause: thrown })
}
