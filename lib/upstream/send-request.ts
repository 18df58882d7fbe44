import { PlainCause, redactError } from '../internal/redact-error.js'
import { type BodyMapping, createRequestBody } from './request-body.js'
import { createRequestHeaders } from './request-headers.js'
import type { UpstreamCall, UpstreamOperation } from './upstream-client.js'
import type { HttpUpstreamConfig } from './upstream-config.js'
import type { UpstreamDispatcher, UpstreamHttpResponse } from './upstream-dispatcher.js'

/** What is posted to the upstream. */
export interface UpstreamPost {
  operation: UpstreamOperation
  /** Below the origin. */
  path: string
  body: unknown
  /** What makes the body of it that is sent. Default: the body is sent as it is. */
  mapping?: BodyMapping | undefined
}

/**
 * Posts to the upstream, once. Resolves with the head of the answer, of whatever status.
 *
 * @throws {NotSentError} the application made nothing that can be sent
 * @throws {PlainCause} no head has come
 */
export type SendRequest = (request: UpstreamPost, call: UpstreamCall) => Promise<UpstreamHttpResponse>

/** Makes the function that posts to the upstream. Requests are built from nothing: see `createRequestHeaders` and `createRequestBody`. */
export function createSendRequest(config: HttpUpstreamConfig, dispatcher: UpstreamDispatcher): SendRequest {
  const requestHeaders = createRequestHeaders(config)

  return async ({ operation, path, body, mapping }, call) => {
    const { contentType, text } = await createRequestBody(operation, body, mapping)
    try {
      return await dispatcher.request({
        origin: config.origin,
        path,
        method: 'POST',
        headers: requestHeaders(call, contentType),
        body: text,
        signal: call.signal,
        headersTimeout: 0,
        bodyTimeout: 0
      })
    } catch (error) {
      const { message, code } = redactError(error)
      throw new PlainCause(`${operation}: the upstream was not reached, or broke off: ${message}`, code)
    }
  }
}
