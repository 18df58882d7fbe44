import { InvalidAnswerError, isUpstreamError, UpstreamInvalidError } from '../errors.js'
import { startWork } from '../internal/deadline.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { UpstreamOperation } from './upstream-client.js'

/** The operation and the name of the option, for the log. */
interface ApplicationFunction {
  operation: UpstreamOperation
  option: string
}

/**
 * Calls a function of the application, synchronous or asynchronous, and resolves to the result.
 *
 * @throws {UpstreamError} thrown or returned by the function
 * @throws {UpstreamInvalidError} the function threw an {@link InvalidAnswerError}
 * @throws {PlainCause} the function threw another error
 */
export function callApplication(place: ApplicationFunction, call: () => unknown): Promise<unknown> {
  return startWork(call).then(throwIfError, (error) => {
    throw toApplicationError(place, error)
  })
}

function throwIfError(result: unknown): unknown {
  if (isUpstreamError(result)) throw result
  return result
}

function toApplicationError({ operation, option }: ApplicationFunction, error: unknown): Error {
  if (isUpstreamError(error)) return error
  const cause = new PlainCause(`${operation}: \`${option}\` threw ${redactError(error).message}`)
  // The function meant to reject but built an invalid error: the call must fail, even an accepted registration.
  return error instanceof InvalidAnswerError ? new UpstreamInvalidError(cause) : cause
}
