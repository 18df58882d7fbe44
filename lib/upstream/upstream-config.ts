import type { BreakerLimits } from '../internal/circuit-breaker.js'
import type { TokenCustodyOptions } from './token-options.js'
import type { UpstreamClient } from './upstream-client.js'
import type { UpstreamDispatcher } from './upstream-dispatcher.js'

/** The upstream to open, and the limits of the circuit breakers. */
export interface UpstreamConfig {
  upstream: UpstreamChoice
  breaker: { upstream: BreakerLimits }
}

/** The upstream over HTTP, or an `UpstreamClient` of the application. */
export type UpstreamChoice =
  | { kind: 'custom'; client: UpstreamClient; timeoutMs: number; tokens: TokensConfig | undefined }
  | { kind: 'http'; options: HttpUpstreamConfig }

/** The checked options of the upstream's tokens; undefined: tokens are not stored. */
export function tokensConfigOf(choice: UpstreamChoice): TokensConfig | undefined {
  return choice.kind === 'custom' ? choice.tokens : choice.options.tokens
}

/** Milliseconds that a call to the upstream may take. */
export function timeoutOf(choice: UpstreamChoice): number {
  return choice.kind === 'custom' ? choice.timeoutMs : choice.options.timeoutMs
}

/** The checked options of the upstream's tokens, with defaults. */
export interface TokensConfig {
  /** At least one secret; the first secret encrypts. */
  secrets: readonly Buffer[]
  refresh: TokenCustodyOptions['refresh']
  refreshBeforeMs: number
  maxBytes: number
}

/** {@link TokensConfig} of the HTTP upstream: without `refreshPath` and `refresh` tokens are not refreshed. */
export interface HttpTokensConfig extends TokensConfig {
  select: BodyFunction
  /** With the base path and the query. */
  refreshPath: string | undefined
}

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
  /** Undefined: the upstream's tokens are dropped. */
  tokens: HttpTokensConfig | undefined
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
