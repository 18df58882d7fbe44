import type { BreakerLimits } from '../internal/circuit-breaker.js'
import type { UpstreamClient } from './upstream-client.js'
import type { UpstreamDispatcher } from './upstream-dispatcher.js'

/** The upstream to open, and the limits of the circuit breakers. */
export interface UpstreamConfig {
  upstream: UpstreamChoice
  breaker: { upstream: BreakerLimits }
}

/** The upstream over HTTP, or an `UpstreamClient` of the application. */
export type UpstreamChoice =
  | { kind: 'custom'; client: UpstreamClient; timeoutMs: number }
  | { kind: 'http'; options: HttpUpstreamConfig }

/** An application function of a parsed JSON body, synchronous or asynchronous. */
export type BodyFunction = (body: unknown) => unknown

/** The checked options of the HTTP upstream, with defaults. */
export interface HttpUpstreamConfig {
  origin: string
  /** With the base path and the query. */
  paths: { login: string; register: string; logout: string | undefined }
  dispatcher: UpstreamDispatcher | undefined
  timeoutMs: number
  maxResponseBytes: number
  /** Headers of every request. Names in lower case. */
  headers: Readonly<Record<string, string>>
  /** Names in lower case. */
  forwardHeaders: readonly string[]
  forwardClientIp: boolean
  mapCredentials: BodyFunction | undefined
  mapRegistration: BodyFunction | undefined
  mapError: ((answer: UpstreamAnswer) => unknown) | undefined
  selectUser: BodyFunction
  selectData: BodyFunction | undefined
}

/** A response of the upstream, for `mapError`. */
export interface UpstreamAnswer {
  operation: 'login' | 'register'
  /** The HTTP status, 200 to 599. */
  status: number
  /** The parsed JSON body; undefined for a body that is empty, not JSON, too large or late. */
  // biome-ignore lint/suspicious/noExplicitAny: parsed JSON, for code of the application
  body: any
}
