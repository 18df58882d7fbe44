import { isUpstreamError, type UpstreamError, UpstreamInvalidError } from '../errors.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { UpstreamOperation } from './upstream-client.js'

/** Returns an `UpstreamError` unchanged; wraps another error in {@link UpstreamInvalidError}, for a 502. */
export function toUpstreamError(operation: UpstreamOperation, error: unknown): UpstreamError {
  if (isUpstreamError(error)) return error
  if (error instanceof PlainCause) return new UpstreamInvalidError(error)
  const { message, code } = redactError(error)
  return new UpstreamInvalidError(new PlainCause(`${operation}: ${message}`, code))
}
