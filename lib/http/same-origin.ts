import type { FastifyRequest } from 'fastify'

/** The part of a request that tells the origin of the page. */
type OriginRequest = Pick<FastifyRequest, 'headers' | 'host'>

/**
 * Whether the page that sent the request has the origin of this server. A request with neither header counts as
 * same-origin: browsers send at least one of both headers with every request by which another origin could change
 * anything.
 */
export function isSameOrigin(request: OriginRequest): boolean {
  return compareOrigins(request) ?? true
}

/**
 * Whether a page of this server or of a listed origin sent the request. Without a header of a browser the answer is no:
 * a request that acts by a cookie comes from a browser.
 *
 * @param origins as in an `Origin` header
 */
export function isOwnPage(request: OriginRequest, origins: readonly string[]): boolean {
  const { origin } = request.headers
  return (origin !== undefined && origins.includes(origin)) || (compareOrigins(request) ?? false)
}

/** Methods that change nothing (RFC 9110 9.2.1). */
const SAFE_METHODS = ['GET', 'HEAD', 'OPTIONS']

/** Whether the request may change something. An upgrade opens a connection that can write (cross-site WebSocket). */
export function isWrite({ method, headers }: Pick<FastifyRequest, 'method' | 'headers'>): boolean {
  return !SAFE_METHODS.includes(method) || headers.upgrade !== undefined
}

/**
 * Whether page and server have one origin: by `Sec-Fetch-Site` (Fetch Metadata; `none` is an address that the user
 * typed), else by `Origin`; null with neither header.
 */
function compareOrigins({ headers, host }: OriginRequest): boolean | null {
  const { 'sec-fetch-site': site, origin } = headers
  // A header that was sent twice has a comma in its value, and so no known value.
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return origin === undefined ? null : isOriginOf(origin, host)
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
