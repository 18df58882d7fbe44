import type { IncomingHttpHeaders } from 'node:http'
import type { Dispatcher, Pool } from 'undici'
import type { UpstreamCall } from './upstream-client.js'
import type { UpstreamResponse } from './upstream-response.js'

/**
 * Sends a request, which the call aborts, and resolves on the response headers. By `dispatch()`: a call costs 18 µs less
 * than by `request()`, which creates a stream for each body.
 */
export function sendToPool(
  pool: Pool,
  request: Dispatcher.DispatchOptions,
  { call, maxBytes }: { call: UpstreamCall; maxBytes: number }
): Promise<UpstreamResponse> {
  return new Promise((resolve, reject) => {
    const response = new PoolResponse({ resolve, reject, maxBytes })
    call.onAbort((reason) => response.abort(reason))
    pool.dispatch(request, response)
  })
}

interface PoolResponseDeps {
  resolve(response: UpstreamResponse): void
  reject(error: Error): void
  maxBytes: number
}

/** Collects a response, called by undici. */
class PoolResponse implements UpstreamResponse, Dispatcher.DispatchHandler {
  statusCode = 0
  headers: IncomingHttpHeaders = {}
  readonly #deps: PoolResponseDeps
  readonly #chunks: Uint8Array[] = []
  #size = 0
  #isTooLarge = false
  #controller: Dispatcher.DispatchController | undefined
  #abortReason: Error | undefined
  /** Set at the end of the body. */
  #end: { error: Error | null } | undefined
  #onEnd = () => {}

  constructor(deps: PoolResponseDeps) {
    this.#deps = deps
  }

  abort(reason: Error): void {
    this.#abortReason = reason
    this.#controller?.abort(reason)
  }

  readBody(): Promise<Uint8Array | undefined> {
    return new Promise((resolve, reject) => {
      this.#onEnd = () => {
        if (this.#isTooLarge) resolve(undefined)
        else if (this.#end?.error) reject(this.#end.error)
        else resolve(Buffer.concat(this.#chunks))
      }
      if (this.#end !== undefined) this.#onEnd()
    })
  }

  discardBody(): Promise<unknown> {
    const body = this.readBody()
    this.#limit(Number(this.headers['content-length']))
    return body
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller
    if (this.#abortReason !== undefined) controller.abort(this.#abortReason)
  }

  onResponseStart(_controller: Dispatcher.DispatchController, statusCode: number, headers: IncomingHttpHeaders): void {
    // A status such as 103 Early Hints: the response is still to come.
    if (statusCode < 200) return
    this.statusCode = statusCode
    this.headers = headers
    this.#deps.resolve(this)
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Uint8Array): void {
    this.#size += chunk.length
    this.#chunks.push(chunk)
    this.#limit(this.#size)
  }

  onResponseEnd(): void {
    this.#finish(null)
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    // Without effect after the headers.
    this.#deps.reject(error)
    this.#finish(error)
  }

  #limit(size: number): void {
    if (!(size > this.#deps.maxBytes)) return
    this.#isTooLarge = true
    this.abort(new Error('The body is too large'))
  }

  #finish(error: Error | null): void {
    this.#end = { error }
    this.#onEnd()
  }
}
