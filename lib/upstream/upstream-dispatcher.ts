/**
 * What sends the requests: of an undici `Agent`, `Pool` or `MockAgent` only the method that the plugin calls, so that
 * those of undici 6, 7 and 8 have this type.
 */
export interface UpstreamDispatcher {
  /** Sends a request. Resolves when the head of the answer has come, of whatever status; the body obeys the signal too. */
  request(request: UpstreamHttpRequest): Promise<UpstreamHttpResponse>
}

/** A request to the upstream. */
export interface UpstreamHttpRequest {
  origin: string
  /** With the query, if there is one. */
  path: string
  method: 'POST'
  headers: Record<string, string>
  body: string
  signal: AbortSignal
  /** Milliseconds; 0: the signal alone decides. */
  headersTimeout: 0
  /** Milliseconds; 0: the signal alone decides. */
  bodyTimeout: 0
}

/** The head of the upstream's answer, and the body to be read. */
export interface UpstreamHttpResponse {
  statusCode: number
  headers: Record<string, string | string[] | undefined>
  body: AsyncIterable<Uint8Array> & {
    /** Reads the body away, and closes the connection when it is longer than the limit, in bytes. */
    dump(options: { limit: number; signal: AbortSignal }): Promise<unknown>
  }
}
