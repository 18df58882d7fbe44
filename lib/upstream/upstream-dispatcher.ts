/**
 * Sends requests to the upstream. Only the method of an undici dispatcher called by the plugin, and therefore
 * compatible with `Agent`, `Pool` and `MockAgent` of undici 6, 7 and 8.
 */
export interface UpstreamDispatcher {
  /** Sends a request. Resolves on the response headers, with any status. The signal aborts the body too. */
  request(request: UpstreamHttpRequest): Promise<UpstreamHttpResponse>
}

/** A request to the upstream. */
export interface UpstreamHttpRequest {
  origin: string
  /** With the query. */
  path: string
  method: 'POST'
  headers: Record<string, string>
  body: string
  signal: AbortSignal
  /** 0: no timeout, the signal alone aborts the request. */
  headersTimeout: 0
  /** 0: no timeout, the signal alone aborts the request. */
  bodyTimeout: 0
}

/** A response of the upstream, with an unread body. */
export interface UpstreamHttpResponse {
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: AsyncIterable<Uint8Array> & {
    /** Discards the body. Closes the connection when the body is longer than the limit in bytes. */
    dump(options: { limit: number; signal: AbortSignal }): Promise<unknown>
  }
}
