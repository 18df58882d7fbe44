import type { AnyReply, AnyRequest } from '../http/error-reply.js'
import type { ResolvedOptions } from '../options/resolve-options.js'
import type { TokenTransport } from '../token/transport.js'

/** An `onRequest` hook: a request from a page of another origin is refused before its body is read. */
export function checkOrigin(transport: TokenTransport) {
  return (request: AnyRequest, _reply: AnyReply, done: () => void): void => {
    transport.checkLogin(request)
    done()
  }
}

/** The status of the refusal, for response schemas; none without the cookie. */
export function crossSiteStatus({ cookie }: Pick<ResolvedOptions, 'cookie'>): 403[] {
  return cookie === null ? [] : [403]
}
