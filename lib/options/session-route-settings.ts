/** Settings of `verifySession` on a route: `config.session`. */
export interface SessionRouteSettings {
  /** Whether to admit a request without a token, with `request.session` null. Default false. */
  optional?: boolean | undefined
  /**
   * Maximum age of the login in seconds: 1 to 2 147 483 647. An older login is rejected with 401
   * `FST_JWT_SESSION_NOT_FRESH`; the session stays open. For password changes and payments (OWASP ASVS 7.5.1). Default:
   * no maximum.
   */
  freshSeconds?: number | undefined
  /** Whether a request is activity and extends the idle expiry of the session. Default true. */
  slide?: boolean | undefined
}
