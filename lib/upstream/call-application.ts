import { InvalidAnswerError, isUpstreamError, UpstreamInvalidError } from '../errors.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { UpstreamOperation } from './upstream-client.js'

/**
 * Calls a function of the application, which may be asynchronous.
 *
 * @param place the operation and the option, for the log
 * @throws {UpstreamError} the function threw or returned this answer, or tried to make one
 * @throws {PlainCause} the function threw anything else
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
    // It was about to refuse.
    throw error instanceof InvalidAnswerError ? new UpstreamInvalidError(cause) : cause
  }
  if (isUpstreamError(result)) throw result
  return result
}
