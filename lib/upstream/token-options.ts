import type { UpstreamTokens } from './upstream-tokens.js'

/** How the plugin stores and refreshes the upstream's tokens. */
export interface TokenCustodyOptions {
  /**
   * The secrets that encrypt the stored tokens, at least 32 random bytes each, and no `jwt.secret`. The first secret
   * encrypts, every secret decrypts. Tokens of a removed secret are lost: their users have to log in again.
   */
  secrets: string | Uint8Array | readonly (string | Uint8Array)[]
  /**
   * Exchanges a refresh token for new tokens. An `UpstreamError` with a status that rejects a login, such as
   * `CredentialsRejectedError`, means that the refresh token is refused. Default: tokens are not refreshed.
   */
  refresh?: ((refreshToken: string, context: { readonly signal: AbortSignal }) => Promise<UpstreamTokens>) | undefined
  /**
   * Seconds before the expiry of an access token from which the token is refreshed; at most half of the token's
   * lifetime counts. 0 to 2 147 483 647. Default 30.
   */
  refreshBeforeSeconds?: number | undefined
  /** Bytes that the access token and the refresh token of a login may have together. 1 to 2 147 483 647. Default 8 192. */
  maxBytes?: number | undefined
}
