/** The cookie with the token: always `Path=/; Secure; HttpOnly`. */
export interface CookieOptions {
  /**
   * The name, which begins with `__Host-`: browsers accept such a cookie only over HTTPS or on localhost, and from no
   * other host. Default `__Host-Http-session`, which scripts cannot set either.
   */
  name?: string | undefined
  /** `SameSite`: with `'strict'` the cookie is not sent when a user follows a link of another site. Default `'lax'`. */
  sameSite?: 'lax' | 'strict' | undefined
  /**
   * Whether the cookie has a `Max-Age`, the time to the absolute expiry of the session. False: the browser deletes the
   * cookie when it is closed. Default true.
   */
  persistent?: boolean | undefined
  /**
   * Origins whose pages may write too, such as `https://www.example.com`. Only origins of the same site make sense:
   * browsers send the cookie with no write of another site. Default `[]`.
   */
  origins?: readonly string[] | undefined
}
