import type { FastifyRequest } from 'fastify'

/**
 * Whether the page that has sent the request is of the origin that answers, as far as the browser says: by `Sec-Fetch-Site`
 * (Fetch Metadata: `none` is the user, who has typed the address), or else by `Origin`. A request with neither is taken
 * for one of the same origin: browsers send one of them with every request that another origin could make with effect.
 */
export function isSameOrigin({ headers, host }: Pick<FastifyRequest, 'headers' | 'host'>): boolean {
  const { 'sec-fetch-site': site, origin } = headers
  // Sent twice it is a text with a comma, and no value that is known.
  if (site !== undefined) return site === 'same-origin' || site === 'none'
  return origin === undefined || isOriginOf(origin, host)
}

/**
 * Whether the origin has this host. The scheme of the request is not known behind a proxy; that of the origin decides
 * what its default port is.
 */
function isOriginOf(origin: string, host: string): boolean {
  const [, scheme = '', ofPage = ''] = ORIGIN.exec(origin) ?? []
  const page = originOf(scheme, ofPage)
  return page !== null && page === originOf(scheme, host)
}

/** `null`, lists and other schemes are no origins that could be the same. */
const ORIGIN = /^(https?:\/\/)(.*)$/

/** Without the default port of the scheme, and with the host in lower case; null for what is no host. */
function originOf(scheme: string, host: string): string | null {
  const url = scheme + host
  return /^[^\s/?#@,]+$/.test(host) && URL.canParse(url) ? new URL(url).origin : null
}
