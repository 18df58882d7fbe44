import type { UpstreamError } from '../errors.js'
import type { TokenCustodyOptions } from '../upstream/token-options.js'
import type { UpstreamAnswer } from '../upstream/upstream-config.js'
import type { UpstreamDispatcher } from '../upstream/upstream-dispatcher.js'
import type { UpstreamTokens } from '../upstream/upstream-tokens.js'

/**
 * An upstream that speaks JSON over HTTP. The functions are the application's, and each function may throw an
 * `UpstreamError`, which then decides the reply.
 */
export interface HttpUpstreamOptions {
  /** An `http:` or `https:` origin with an optional base path. No credentials, query or hash. */
  baseUrl: string
  /**
   * The undici `Agent`, `Pool`, `MockAgent`, … of undici 6, 7 or 8 that sends the requests; never closed. Default: a
   * pool that keeps an idle connection for 100 ms, or for the time in the upstream's `Keep-Alive` header less 2 s.
   */
  dispatcher?: UpstreamDispatcher | undefined
  /** May have `:` within a segment, and a fixed query such as `?key=…`, which is not logged. Default `/user/login`. */
  loginPath?: string | undefined
  /** Like `loginPath`. Default `/user/register`. */
  registerPath?: string | undefined
  /** The path to which `{ user }` is posted after a logout. Like `loginPath`. Default: none, no notification. */
  logoutPath?: string | undefined
  /** Milliseconds from the call to the last byte of the response: 1 to 2 147 483 647. Default 5 000. */
  timeoutMs?: number | undefined
  /** The largest response body in bytes: 1 to 2 147 483 647. Default 65 536. */
  maxResponseBytes?: number | undefined
  /**
   * Headers of every call, such as `{ authorization: 'Bearer …' }` or an API key. Values are printable ASCII and not
   * empty. `host`, `connection`, `accept-encoding`, content, hop-by-hop and `x-forwarded-*` headers are refused.
   * Default: only the plugin's own `user-agent`.
   */
  headers?: Readonly<Record<string, string | undefined>> | undefined
  /**
   * Names of client headers to forward, such as `accept-language`. Credentials, hop-by-hop, content and forwarding
   * headers are refused, and names in `headers`. Default: none.
   */
  forwardHeaders?: readonly string[] | undefined
  /** Whether to send `x-forwarded-for`, with `request.ip` and without any text of the client. Default false. */
  forwardClientIp?: boolean | undefined
  /**
   * Maps the body of a login to the body for the upstream: an object is sent as JSON, a `URLSearchParams` as a form.
   * Default: the unchanged body, as JSON.
   */
  // biome-ignore lint/suspicious/noExplicitAny: the body has the type of the route's schema
  mapCredentials?: ((body: any) => object | URLSearchParams) | undefined
  /** Maps the body of a registration, like `mapCredentials`. */
  // biome-ignore lint/suspicious/noExplicitAny: the body has the type of the route's schema
  mapRegistration?: ((body: any) => object | URLSearchParams) | undefined
  /**
   * Decides the reply to a login or a registration before any other rule, for every status of the upstream, 2xx
   * included. A returned or thrown `UpstreamError` is the reply; undefined leaves the decision to the status. Any other
   * thrown error is a 502. `body` is undefined when the response is not JSON, too large or late.
   */
  mapError?: ((answer: UpstreamAnswer) => UpstreamError | undefined) | undefined
  /**
   * Selects the user in the upstream's JSON. May be asynchronous, and may return an `UpstreamError`. Default
   * `(body) => body.user`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the upstream; `userSchema` checks the result
  selectUser?: ((body: any) => unknown) | undefined
  /**
   * Selects the application's `data` of the new session in the upstream's JSON: an object of at most
   * `session.maxDataBytes` bytes of JSON, never sent to the client. Default: no data.
   */
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the upstream; the result is checked
  selectData?: ((body: any) => object | undefined) | undefined
  /**
   * Stores the upstream's tokens of each login, encrypted, for `request.session.upstream`. They never reach the client.
   * A `store` of the application needs `readTokens()` and `writeTokens()`. Default: the tokens are dropped.
   */
  tokens?: HttpTokenCustodyOptions | undefined
}

/** How the plugin stores and refreshes the tokens of an upstream over HTTP. */
export interface HttpTokenCustodyOptions extends TokenCustodyOptions {
  /**
   * Selects the tokens in the upstream's JSON, of a login and of a refresh. Null: this login has no tokens. May be
   * asynchronous, and may return an `UpstreamError`. Default: `access_token`, `refresh_token` and `expires_in`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: JSON of the upstream; the result is checked
  select?: ((body: any) => UpstreamTokens | null | Promise<UpstreamTokens | null>) | undefined
  /**
   * The path to which `{ refresh_token }` is posted, answered like a login. Like `loginPath`. Not together with
   * `refresh`. Default: none.
   */
  refreshPath?: string | undefined
}
