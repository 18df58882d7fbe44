import { isUpstreamError, type UpstreamError, UpstreamInvalidError } from '../errors.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { UpstreamOperation } from './upstream-client.js'

/**
 * What was thrown on the way to the upstream, if it may decide the answer; an {@link UpstreamInvalidError} otherwise, with
 * the operation in its cause.
 */
export function toUpstreamError(operation: UpstreamOperation, error: unknown): UpstreamError {
  if (isUpstreamError(error)) return error
  if (error instanceof PlainCause) return new UpstreamInvalidError(error)
  const { message, code } = redactError(error)
  return new UpstreamInvalidError(new PlainCause(`${operation}: ${message}`, code))
}
