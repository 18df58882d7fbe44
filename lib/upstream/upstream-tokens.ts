/** Tokens by which the application calls the upstream on the user's behalf. They never leave the server. */
export interface UpstreamTokens {
  /** 1 or more characters of printable ASCII (RFC 6749 A.12). */
  accessToken: string
  /** Like `accessToken`. Null, and the default: the tokens of a login cannot be refreshed; a refresh keeps the former. */
  refreshToken?: string | null | undefined
  /**
   * Seconds from now to the expiry of the access token, more than 0. Null, and the default: not known; then the access
   * token is refreshed after the upstream has rejected it.
   */
  expiresIn?: number | null | undefined
}
