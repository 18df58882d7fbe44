import type { UpstreamError } from '../errors.js'
import type { UpstreamAnswer } from '../upstream/upstream-config.js'
import type { UpstreamDispatcher } from '../upstream/upstream-dispatcher.js'

/**
 * Where the upstream is, when it speaks HTTP, and how. The functions are the application's; each may throw an
 * `UpstreamError`, which is the answer then.
 */
export interface HttpUpstreamOptions {
  /** `http:` or `https:` origin, with a path if need be, in front of the paths below. No credentials, query or hash. */
  baseUrl: string
  /**
   * An undici `Agent`, `Pool`, `MockAgent`, … to send with, of undici 6, 7 or 8; never closed. Default: a pool of the
   * plugin's own, which keeps an idle connection for 100 ms, or for as long as the `Keep-Alive` header of the upstream
   * says, less 2 s.
   */
  dispatcher?: UpstreamDispatcher | undefined
  /** May have `:` within a segment, and a fixed query such as `?key=…`, which is not logged. Default `/user/login`. */
  loginPath?: string | undefined
  /** Like `loginPath`. Default `/user/register`. */
  registerPath?: string | undefined
  /** Where `{ user }` is posted after a logout. Like `loginPath`. Default: nowhere. */
  logoutPath?: string | undefined
  /** Milliseconds from the call to the last byte of the answer: 1 to 2 147 483 647. Default 5 000. */
  timeoutMs?: number | undefined
  /** The largest answer that is read, in bytes: 1 to 2 147 483 647. Default 65 536. */
  maxResponseBytes?: number | undefined
  /**
   * Headers of every call, such as `{ authorization: 'Bearer …' }` or an API key. Values are not empty, of printable ASCII
   * characters. `host`, `connection`, `accept-encoding`, content, hop-by-hop and `x-forwarded-*` headers are refused.
   * Default: none, but the plugin's own `user-agent`.
   */
  headers?: Readonly<Record<string, string | undefined>> | undefined
  /**
   * Names of the client's headers to pass on, such as `accept-language`. Credentials, hop-by-hop, content and forwarding
   * headers are refused, and those that `headers` has. Default: none.
   */
  forwardHeaders?: readonly string[] | undefined
  /** Whether `x-forwarded-for` is sent, with `request.ip` and nothing that the client has written. Default false. */
  forwardClientIp?: boolean | undefined
  /**
   * Makes what is sent for a login of its body: an object is sent as JSON, a `URLSearchParams` as a form. Default: the
   * body, as JSON.
   */
  // biome-ignore lint/suspicious/noExplicitAny: it is what the schema of the route let through
  mapCredentials?: ((body: any) => object | URLSearchParams) | undefined
  /** Makes what is sent for a registration of its body, like `mapCredentials`. */
  // biome-ignore lint/suspicious/noExplicitAny: it is what the schema of the route let through
  mapRegistration?: ((body: any) => object | URLSearchParams) | undefined
  /**
   * Decides what an answer of the upstream means, before anything else does: called for a login and a registration, with
   * whatever status, 2xx too. An `UpstreamError` that it returns or throws is the answer; with undefined the status
   * decides. Another error that it throws is a 502. `body` is undefined when it is no JSON, too large or late.
   */
  mapError?: ((answer: UpstreamAnswer) => UpstreamError | undefined) | undefined
  /**
   * Finds the user in the upstream's JSON, may be asynchronous, and may return an `UpstreamError` instead. Default
   * `(body) => body.user`.
   */
  // biome-ignore lint/suspicious/noExplicitAny: it is what JSON.parse gave, and the result is checked by `userSchema`
  selectUser?: ((body: any) => unknown) | undefined
  /**
   * Finds in the upstream's JSON what becomes the application's `data` of the new session, which is never sent to the
   * client. Default: no data.
   */
  // biome-ignore lint/suspicious/noExplicitAny: it is what JSON.parse gave, and the result is checked
  selectData?: ((body: any) => object | undefined) | undefined
}
