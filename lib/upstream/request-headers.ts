import { isIP } from 'node:net'
import type { UpstreamContext } from './upstream-client.js'
import type { HttpUpstreamConfig } from './upstream-config.js'

/** Some firewalls block requests without a user agent. */
const USER_AGENT = 'fastify-jwt-session'

/**
 * Creates the function that builds the headers of a request to the upstream. Only client headers on the allow-list
 * pass.
 *
 * @returns a function of the call and the content type of the body
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
    // The forwarded header may be empty.
    result['user-agent'] ||= USER_AGENT
    result['content-type'] = contentType
    result['accept-encoding'] = 'identity'
    // With `trustProxy`, `request.ip` may be arbitrary text of the client.
    if (forwardClientIp && isIP(ip) !== 0) result['x-forwarded-for'] = ip.replace(MAPPED_IPV4, '')
    return result
  }
}

/** Prefix of an IPv4 address on a dual-stack server (RFC 4291 2.5.5.2). */
const MAPPED_IPV4 = /^::ffff:(?=[\d.]+$)/i
