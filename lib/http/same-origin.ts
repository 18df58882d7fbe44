import type { FastifyRequest } from 'fastify'

/**
 * Whether the page that sent the request has the origin of this server: by `Sec-Fetch-Site` (Fetch Metadata; `none` is
 * an address that the user typed), else by `Origin`. A request with neither header counts as same-origin: browsers send
 * at least one of both headers with every request by which another origin could change anything.
 */
export function isSameOrigin({ headers, host }: Pick<FastifyRequest, 'headers' | 'host'>): boolean {
  const { 'sec-fetch-site': site, origin } = headers
  // A header that was sent twice has a comma in its value, and so no known value.
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return origin === undefined || isOriginOf(origin, host)
}

/**
 * Whether the origin has this host. Behind a proxy the scheme of the request is unknown: the scheme of the origin
 * counts.
 */
function isOriginOf(origin: string, host: string): boolean {
  const [, scheme = '', pageHost = ''] = ORIGIN.exec(origin) ?? []
  const page = originOf(scheme, pageHost)
  return page !== null && page === originOf(scheme, host)
}

/** Excludes `null`, lists, and schemes of no web page. */
const ORIGIN = /^(https?:\/\/)(.*)$/

/** The origin without the default port of the scheme, with the host in lower case; null when the host is malformed. */
function originOf(scheme: string, host: string): string | null {
  const url = scheme + host
  return /^[^\s/?#@,]+$/.test(host) && URL.canParse(url) ? new URL(url).origin : null
}
