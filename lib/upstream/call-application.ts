import { InvalidAnswerError, isUpstreamError, UpstreamInvalidError } from '../errors.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { UpstreamOperation } from './upstream-client.js'

/**
 * Calls a function of the application, synchronous or asynchronous, and resolves to the result.
 *
 * @param place the operation and the name of the option, for the log
 * @throws {UpstreamError} thrown or returned by the function
 * @throws {UpstreamInvalidError} the function threw an {@link InvalidAnswerError}
 * @throws {PlainCause} the function threw another error
 */
export async function callApplication(
  { operation, option }: { operation: UpstreamOperation; option: string },
  call: () => unknown
): Promise<unknown> {
  let result: unknown
  try {
    result = await call()
  } catch (error) {
    if (isUpstreamError(error)) throw error
    const cause = new PlainCause(`${operation}: \`${option}\` threw ${redactError(error).message}`)
    // The function meant to reject but built an invalid error: the call must fail, even an accepted registration.
    throw error instanceof InvalidAnswerError ? new UpstreamInvalidError(cause) : cause
  }
  if (isUpstreamError(result)) throw result
  return result
}
