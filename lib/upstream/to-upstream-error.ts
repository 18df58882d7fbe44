import { isUpstreamError, type UpstreamError, UpstreamInvalidError } from '../errors.js'

/** What was thrown on the way to the upstream, if it may decide the answer; an {@link UpstreamInvalidError} otherwise. */
export function toUpstreamError(error: unknown): UpstreamError {
  return isUpstreamError(error) ? error : new UpstreamInvalidError(error)
}
