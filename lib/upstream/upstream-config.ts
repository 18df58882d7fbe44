import type { BreakerLimits } from '../internal/circuit-breaker.js'
import type { UpstreamClient } from './upstream-client.js'
import type { UpstreamDispatcher } from './upstream-dispatcher.js'

/** Which upstream to open, and when it is not called. */
export interface UpstreamConfig {
  upstream: UpstreamChoice
  breaker: { upstream: BreakerLimits }
}

/** The upstream over HTTP, or a client of the application's own. */
export type UpstreamChoice =
  | { kind: 'custom'; client: UpstreamClient; timeoutMs: number }
  | { kind: 'http'; options: HttpUpstreamConfig }

/** A function of the application that is given what JSON.parse made, and may be asynchronous. */
export type BodyFunction = (body: unknown) => unknown

/** The HTTP upstream's options, checked and with their defaults. */
export interface HttpUpstreamConfig {
  origin: string
  /** Each with its query, if it has one. */
  paths: { login: string; register: string; logout: string | undefined }
  dispatcher: UpstreamDispatcher | undefined
  timeoutMs: number
  maxResponseBytes: number
  /** Sent with every call. Names in lower case. */
  headers: Readonly<Record<string, string>>
  /** In lower case. */
  forwardHeaders: readonly string[]
  forwardClientIp: boolean
  mapCredentials: BodyFunction | undefined
  mapRegistration: BodyFunction | undefined
  mapError: ((answer: UpstreamAnswer) => unknown) | undefined
  selectUser: BodyFunction
  selectData: BodyFunction | undefined
}

/** An answer of the upstream, for `mapError`. */
export interface UpstreamAnswer {
  operation: 'login' | 'register'
  /** The HTTP status, 200 to 599. */
  status: number
  /** What JSON.parse made of the body; undefined when the body is not JSON, too large or late. */
  // biome-ignore lint/suspicious/noExplicitAny: it is what JSON.parse gave, for code of the application
  body: any
}
