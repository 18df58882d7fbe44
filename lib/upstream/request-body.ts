import { copyParsed, isPlainObject, toJson } from '../internal/json.js'
import { PlainCause } from '../internal/redact-error.js'
import { callApplication } from './call-application.js'
import type { UpstreamOperation } from './upstream-client.js'
import type { BodyFunction } from './upstream-config.js'

/** What is sent to the upstream. */
export interface RequestBody {
  contentType: string
  text: string
}

/** A function of the application that makes the body, with the name of its option. */
export interface BodyMapping {
  option: 'mapCredentials' | 'mapRegistration'
  map: BodyFunction
}

/** What is known of a call whose request was not sent: it says nothing about the upstream. */
export class NotSentError extends Error {
  /** Why: an `UpstreamError` of the application, or a {@link PlainCause}. */
  readonly reason: unknown

  constructor(reason: unknown) {
    super('The request was not sent')
    this.reason = reason
  }
}

/**
 * The body of a request to the upstream: the client's as it is, or what the application has made of it.
 *
 * @throws {NotSentError} the application made nothing that can be sent
 */
export async function createRequestBody(
  operation: UpstreamOperation,
  body: unknown,
  mapping: BodyMapping | undefined
): Promise<RequestBody> {
  if (mapping === undefined) return { contentType: 'application/json', text: JSON.stringify(body) }
  try {
    const { option, map } = mapping
    // A copy: the request keeps what the client has sent.
    const mapped = await callApplication({ operation, option }, () => map(copyParsed(body)))
    if (mapped instanceof URLSearchParams) {
      return { contentType: 'application/x-www-form-urlencoded', text: mapped.toString() }
    }
    const text = isPlainObject(mapped) ? toJson(mapped) : undefined
    if (text !== undefined) return { contentType: 'application/json', text }
    throw new PlainCause(`${operation}: \`${option}\` did not return an object of JSON or URLSearchParams`)
  } catch (error) {
    throw new NotSentError(error)
  }
}
