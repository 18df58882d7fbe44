import { isIP } from 'node:net'
import type { UpstreamContext } from './upstream-client.js'
import type { HttpUpstreamConfig } from './upstream-config.js'

/** Firewalls refuse requests without a user agent. */
const USER_AGENT = 'fastify-jwt-session'

/**
 * The headers of a request to the upstream, built from nothing: of the client's headers only those on the allow-list pass.
 *
 * @returns a function of the call and of the content type of the body
 */
export function createRequestHeaders({
  headers: fixed,
  forwardHeaders,
  forwardClientIp
}: Pick<HttpUpstreamConfig, 'headers' | 'forwardHeaders' | 'forwardClientIp'>) {
  return ({ headers, ip }: UpstreamContext, contentType: string): Record<string, string> => {
    const result: Record<string, string> = { 'user-agent': USER_AGENT, accept: 'application/json', ...fixed }
    for (const name of forwardHeaders) {
      const value = headers[name]
      if (typeof value === 'string') result[name] = value
    }
    // A client may send an empty one.
    result['user-agent'] ||= USER_AGENT
    result['content-type'] = contentType
    result['accept-encoding'] = 'identity'
    // Behind `trustProxy` it may be whatever text the client has written.
    if (forwardClientIp && isIP(ip) !== 0) result['x-forwarded-for'] = ip.replace(MAPPED_IPV4, '')
    return result
  }
}

/** In front of an IPv4 address, on a server that listens to both protocols (RFC 4291 2.5.5.2). */
const MAPPED_IPV4 = /^::ffff:(?=[\d.]+$)/i
