import { copyParsed, isPlainObject, toJson } from '../internal/json.js'
import { PlainCause } from '../internal/redact-error.js'
import { callApplication } from './call-application.js'
import type { UpstreamOperation } from './upstream-client.js'
import type { BodyFunction } from './upstream-config.js'

/** The body of a request to the upstream. */
export interface RequestBody {
  contentType: string
  text: string
}

/** An application function that creates the body, and the name of the option. */
export interface BodyMapping {
  option: 'mapCredentials' | 'mapRegistration'
  map: BodyFunction
}

/** The request was not sent. Tells the circuit breaker nothing about the upstream. */
export class NotSentError extends Error {
  /** An `UpstreamError` of the application, or a {@link PlainCause}. */
  readonly reason: unknown

  constructor(reason: unknown) {
    super('The request was not sent')
    this.reason = reason
  }
}

/**
 * Creates the body of a request to the upstream: the client's body, or the result of the mapping.
 *
 * @throws {NotSentError} as a rejection: the mapping failed, or the result is neither a JSON object nor `URLSearchParams`
 */
export function createRequestBody(
  operation: UpstreamOperation,
  body: unknown,
  mapping: BodyMapping | undefined
): RequestBody | Promise<RequestBody> {
  return mapping === undefined
    ? { contentType: 'application/json', text: JSON.stringify(body) }
    : mapBody(operation, body, mapping)
}

/** @throws {NotSentError} */
async function mapBody(operation: UpstreamOperation, body: unknown, mapping: BodyMapping): Promise<RequestBody> {
  try {
    const { option, map } = mapping
    // A copy: the mapping must not change the body of the client's request.
    const mapped = await callApplication({ operation, option }, () => map(copyParsed(body)))
    if (mapped instanceof URLSearchParams) {
      return { contentType: 'application/x-www-form-urlencoded', text: mapped.toString() }
    }
    const text = isPlainObject(mapped) ? toJson(mapped) : undefined
    if (text !== undefined) return { contentType: 'application/json', text }
    throw new PlainCause(`${operation}: \`${option}\` did not return a JSON object or URLSearchParams`)
  } catch (error) {
    throw new NotSentError(error)
  }
}
