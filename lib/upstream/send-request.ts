import { PlainCause, redactError } from '../internal/redact-error.js'
import type { Transport } from './open-transport.js'
import { type BodyMapping, createRequestBody, type RequestBody } from './request-body.js'
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

  function send({ operation, path }: UpstreamPost, body: RequestBody, call: UpstreamCall): Promise<UpstreamResponse> {
    const headers = requestHeaders(call, body.contentType)
    const timeouts = { headersTimeout: 0, bodyTimeout: 0 } as const
    const request = { origin: config.origin, path, method: 'POST', headers, body: body.text, ...timeouts } as const
    return transport.send(request, call).catch((error: unknown) => {
      const { message, code } = redactError(error)
      throw new PlainCause(`${operation}: the request to the upstream failed: ${message}`, code)
    })
  }

  return (post, call) => {
    const body = createRequestBody(post.operation, post.body, post.mapping)
    return body instanceof Promise ? body.then((created) => send(post, created, call)) : send(post, body, call)
  }
}
