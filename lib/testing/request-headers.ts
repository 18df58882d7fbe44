import type { InjectOptions } from 'fastify'

/**
 * The headers by which a client sends the token.
 *
 * @param cookieName null: only bearer tokens
 */
export function headersOf(token: string, cookieName: string | null): Record<string, string> {
  if (cookieName === null) return { authorization: `Bearer ${token}` }
  // Without the header of a browser a write by the cookie is answered 403 (CSRF).
  return { cookie: `${cookieName}=${token}`, 'sec-fetch-site': 'same-origin' }
}

/** The request with the headers. Its own headers take precedence; the cookie is added to its own cookies. */
export function withHeaders(
  options: InjectOptions | string,
  headers: Record<string, string>,
  cookieName: string | null
): InjectOptions {
  const request = typeof options === 'string' ? { url: options } : options
  const own = Object.entries(request.headers ?? {}).map(([name, value]) => [name.toLowerCase(), value] as const)
  const merged = { ...headers, ...Object.fromEntries(own) }
  const { cookie } = headers
  const ownCookies = [merged.cookie].flat().join('; ')
  const isOther = cookie !== undefined && !ownCookies.includes(`${cookieName}=`)
  return { ...request, headers: { ...merged, ...(isOther && { cookie: `${cookie}; ${ownCookies}` }) } }
}
