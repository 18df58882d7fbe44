import type { FastifyReply, FastifyRequest, RawServerBase, RouteGenericInterface } from 'fastify'
import {
  isJwtSessionError,
  isUpstreamError,
  type JwtSessionError,
  type SessionEndedError,
  type SessionEndReason
} from '../errors.js'
import { PlainCause } from '../internal/redact-error.js'
import { isSameOrigin } from './same-origin.js'

/** A request to any server, HTTP/2 and TLS included. */
export type AnyRequest = FastifyRequest<RouteGenericInterface, RawServerBase>

/** A reply of any server, HTTP/2 and TLS included. */
export type AnyReply = FastifyReply<RouteGenericInterface, RawServerBase>

/** Error replies, and the clear signal for a session that has ended. */
export interface ErrorReplies {
  /** Sends the status, headers and body of an error, and logs the error without text of the client or the upstream. */
  send(request: AnyRequest, reply: AnyReply, error: JwtSessionError): AnyReply
  /** Adds the clear signal: the client deletes the stores of the page and logs the user out. */
  setClearSignal(request: AnyRequest, reply: AnyReply, reason: SessionEndReason): void
  /**
   * Adds `Clear-Site-Data` to the reply to a page of the same origin. For a page of another origin the browser would
   * delete the data of the application's own pages, whose session may be live. Not for the browser client
   * (`Session-Client: 1`), which deletes the data itself, and knows whether a late reply concerns the current session.
   */
  setClearSiteData(request: AnyRequest, reply: AnyReply): void
  /** Lets pages of other origins read the `Retry-After` of an error of this package, also in a reply of the host. */
  exposeRetryAfter(reply: AnyReply, error: unknown): void
}

/** @param clearSiteData the value of `Clear-Site-Data`, such as `"storage"`; null: no such header */
export function createErrorReplies(clearSiteData: string | null): ErrorReplies {
  function setClearSiteData(request: AnyRequest, reply: AnyReply): void {
    if (clearSiteData === null || request.headers['session-client'] === '1' || !isSameOrigin(request)) return
    reply.header('clear-site-data', clearSiteData)
  }

  function setClearSignal(request: AnyRequest, reply: AnyReply, reason: SessionEndReason): void {
    setClearSiteData(request, reply)
    reply.header('session-ended', reason)
    exposeHeader(reply, 'Session-Ended')
  }

  function exposeRetryAfter(reply: AnyReply, error: unknown): void {
    if (isJwtSessionError(error) && 'retry-after' in error.headers) exposeHeader(reply, 'Retry-After')
  }

  return {
    setClearSignal,
    setClearSiteData,
    exposeRetryAfter,
    send(request, reply, error) {
      const cause = error.cause instanceof Error ? error.cause.message : undefined
      const reason = isSessionEnded(error) ? error.reason : undefined
      const upstreamStatus = error.cause instanceof PlainCause ? error.cause.status : undefined
      request.log[levelOf(error)]({ code: error.code, reason, cause, upstreamStatus }, error.message)
      reply.headers({ 'cache-control': 'no-store', ...error.headers })
      exposeRetryAfter(reply, error)
      // A late reply for a replaced session must not empty the stores of the login that replaced the session.
      if (isSessionEnded(error) && error.reason !== 'logged_in_again') setClearSignal(request, reply, error.reason)
      // A response schema of the route would rewrite an object, but not a string.
      const body = JSON.stringify(error)
      return reply.code(error.statusCode).type('application/json; charset=utf-8').send(body)
    }
  }
}

/** Faults of the operation, although the status blames the client: an unusable record, and the proxy's configuration. */
const FAULTS = ['FST_JWT_SESSION_LOGIN_NEEDED', 'FST_JWT_SESSION_INVALID_QUERY']

function levelOf({ code, statusCode }: JwtSessionError): 'info' | 'error' {
  return statusCode < 500 && !FAULTS.includes(code) ? 'info' : 'error'
}

/** No error of an upstream ends a session: an application may give its own error any code. */
function isSessionEnded(error: JwtSessionError): error is SessionEndedError {
  return error.code === 'FST_JWT_SESSION_ENDED' && !isUpstreamError(error)
}

/** Lets a page of another origin read the server's clock, for times of the body. The header `Date` is set by Node. */
export function exposeDate(reply: AnyReply): void {
  if (reply.request.headers.origin !== undefined) exposeHeader(reply, 'Date')
}

/** Adds the header to the list that a CORS plugin may have begun. */
function exposeHeader(reply: AnyReply, header: string): void {
  const exposed = [reply.getHeader('access-control-expose-headers') ?? []].flat().join(', ')
  const names = exposed.toLowerCase().split(/\s*,\s*/)
  if (names.includes(header.toLowerCase())) return
  reply.header('access-control-expose-headers', exposed === '' ? header : `${exposed}, ${header}`)
}
