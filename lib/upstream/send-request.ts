import { PlainCause, redactError } from '../internal/redact-error.js'
import type { Transport } from './open-transport.js'
import { type BodyMapping, createRequestBody } from './request-body.js'
import { createRequestHeaders } from './request-headers.js'
import type { UpstreamCall, UpstreamOperation } from './upstream-client.js'
import type { HttpUpstreamConfig } from './upstream-config.js'
import type { UpstreamResponse } from './upstream-response.js'

/** A POST request to the upstream. */
export interface UpstreamPost {
  operation: UpstreamOperation
  /** With the query. */
  path: string
  body: unknown
  /** Maps the body. Default: the body is sent unchanged, as JSON. */
  mapping?: BodyMapping | undefined
}

/**
 * Sends a POST request to the upstream, without retries. Resolves to the response of any status, with an unread body.
 *
 * @throws {NotSentError} the mapping of the body failed
 * @throws {PlainCause} the request failed before the response headers
 */
export type SendRequest = (request: UpstreamPost, call: UpstreamCall) => Promise<UpstreamResponse>

/** Creates the function that sends requests to the upstream. */
export function createSendRequest(config: HttpUpstreamConfig, transport: Transport): SendRequest {
  const requestHeaders = createRequestHeaders(config)

  return async ({ operation, path, body, mapping }, call) => {
    const created = createRequestBody(operation, body, mapping)
    const { contentType, text } = created instanceof Promise ? await created : created
    try {
      const headers = requestHeaders(call, contentType)
      const timeouts = { headersTimeout: 0, bodyTimeout: 0 } as const
      return await transport.send(
        { origin: config.origin, path, method: 'POST', headers, body: text, ...timeouts },
        call
      )
    } catch (error) {
      const { message, code } = redactError(error)
      throw new PlainCause(`${operation}: the request to the upstream failed: ${message}`, code)
    }
  }
}
