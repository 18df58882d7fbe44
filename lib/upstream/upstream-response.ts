/** A response of the upstream, on its headers: the body may still be on the way. */
export interface UpstreamResponse {
  readonly statusCode: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  /**
   * Reads the body, once. Undefined: larger than `maxResponseBytes`, and the connection is closed.
   *
   * @throws {Error} of the connection, or the reason of an abort: the body was cut off
   */
  readBody(): Promise<Uint8Array | undefined>
  /** Reads the body to the end, in place of {@link readBody}, and frees the connection for the next request. */
  discardBody(): Promise<unknown>
}

/** Whether the status is 2xx. */
export function isSuccess({ statusCode }: UpstreamResponse): boolean {
  return statusCode >= 200 && statusCode <= 299
}
