import type { FastifyRequest } from 'fastify'
import { isWrite } from './same-origin.js'

/** The part of a request that the check of its origin reads. */
type CheckedRequest = Pick<FastifyRequest, 'headers' | 'host' | 'method'>

/** Which proxy sends the method by which header: Caddy and Traefik by the first, configurations of nginx by either. */
const METHOD_HEADERS = ['x-forwarded-method', 'x-original-method']

/**
 * The client's request behind the request of a proxy, for the check of its origin: the proxy asks by GET whatever the
 * method is. The method is POST for everything but a known read. A client may send one of the headers too, where the
 * proxy does not overwrite the header: so each value must be a read, and a missing value is none.
 */
export function originalRequestOf({ headers, host }: CheckedRequest): CheckedRequest {
  const methods = METHOD_HEADERS.map((name) => headers[name]).filter((value) => value !== undefined)
  // Node joins a header that was sent twice with a comma.
  const isRead = methods.length > 0 && methods.every((method) => !isWrite({ method: String(method), headers: {} }))
  return { headers, host, method: isRead && !opensSocket(headers) ? 'GET' : 'POST' }
}

/** Whether the client opens a WebSocket, which can write. Proxies drop `Upgrade`; a page can neither set nor drop the others. */
function opensSocket(headers: FastifyRequest['headers']): boolean {
  return headers['sec-websocket-key'] !== undefined || headers['sec-websocket-version'] !== undefined
}
