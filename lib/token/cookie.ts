/**
 * Maximum length of name and value of a cookie, in bytes (RFC 6265bis 5.6). A browser drops a longer cookie without a
 * notice.
 */
export const MAX_COOKIE_LENGTH = 4_096

/** How cookies are written. */
export interface CookieAttributes {
  name: string
  sameSite: 'lax' | 'strict'
}

/**
 * The value of the cookie in a `Cookie` header, unchanged: neither unquoted nor decoded. Null for no value, and for
 * several cookies of the name, of which no rule says which one the server has set.
 */
export function readCookie(header: string, name: string): string | null {
  const start = `${name}=`
  let value: string | null = null
  for (let at = header.indexOf(start); at !== -1; at = header.indexOf(start, at + 1)) {
    if (!isStartOfCookie(header, at)) continue
    if (value !== null) return null
    const end = header.indexOf(';', at)
    value = header.slice(at + start.length, end === -1 ? undefined : end)
  }
  return value === '' ? null : value
}

/** Whether a cookie starts here: a value may contain the name of another cookie. */
function isStartOfCookie(header: string, at: number): boolean {
  let before = at - 1
  while (header[before] === ' ' || header[before] === '\t') before--
  return before < 0 || header[before] === ';'
}

/**
 * A `Set-Cookie` header. `__Host-` cookies need `Path=/` and `Secure`, also to be deleted.
 *
 * @param maxAge seconds; 0 deletes the cookie; null: until the browser is closed
 */
export function formatCookie({ name, sameSite }: CookieAttributes, value: string, maxAge: number | null): string {
  const site = sameSite === 'strict' ? 'Strict' : 'Lax'
  const age = maxAge === null ? '' : `; Max-Age=${maxAge}`
  return `${name}=${value}; Path=/; Secure; HttpOnly; SameSite=${site}${age}`
}
