import type { FastifyReply, FastifyRequest, RawServerBase, RouteGenericInterface } from 'fastify'
import {
  isJwtSessionError,
  isUpstreamError,
  type JwtSessionError,
  type SessionEndedError,
  type SessionEndReason
} from '../errors.js'
import { isSameOrigin } from './same-origin.js'

/** Of any server, HTTP/2 and TLS included. */
export type AnyRequest = FastifyRequest<RouteGenericInterface, RawServerBase>

/** Of any server, HTTP/2 and TLS included. */
export type AnyReply = FastifyReply<RouteGenericInterface, RawServerBase>

/** How the plugin refuses a request, and how it signals that a session has ended. */
export interface ErrorReplies {
  /** Sends an error: status, headers and body. Logs it without anything that the client or the upstream wrote. */
  send(request: AnyRequest, reply: AnyReply, error: JwtSessionError): AnyReply
  /** Adds the headers that make the client delete its stores and log the user out. */
  setClearSignal(request: AnyRequest, reply: AnyReply, reason: SessionEndReason): void
  /**
   * Adds the header that makes the browser delete the stores of the page that has sent the request. Not for a page of
   * another origin: that would delete the data of the application's own page, which may have a live session.
   */
  setClearSiteData(request: AnyRequest, reply: AnyReply): void
  /** Lets a page of another origin read the `Retry-After` of an error of this package, whatever code answers the error. */
  exposeRetryAfter(reply: AnyReply, error: unknown): void
}

/** @param clearSiteData the header's value, such as `"storage"`, or null to leave the header out */
export function createErrorReplies(clearSiteData: string | null): ErrorReplies {
  function setClearSiteData(request: AnyRequest, reply: AnyReply): void {
    if (clearSiteData !== null && isSameOrigin(request)) reply.header('clear-site-data', clearSiteData)
  }

  function setClearSignal(request: AnyRequest, reply: AnyReply, reason: SessionEndReason): void {
    setClearSiteData(request, reply)
    reply.header('session-ended', reason)
    expose(reply, 'Session-Ended')
  }

  function exposeRetryAfter(reply: AnyReply, error: unknown): void {
    if (isJwtSessionError(error) && 'retry-after' in error.headers) expose(reply, 'Retry-After')
  }

  return {
    setClearSignal,
    setClearSiteData,
    exposeRetryAfter,
    send(request, reply, error) {
      const cause = error.cause instanceof Error ? error.cause.message : undefined
      const reason = isEnded(error) ? error.reason : undefined
      request.log[levelOf(error)]({ code: error.code, reason, cause }, error.message)
      reply.headers({ 'cache-control': 'no-store', ...error.headers })
      exposeRetryAfter(reply, error)
      // A late answer to a session that the browser's next login has replaced must not empty the stores of that login.
      if (isEnded(error) && error.reason !== 'logged_in_again') setClearSignal(request, reply, error.reason)
      // A string, so that no response schema of the route rewrites the body.
      const body = JSON.stringify(error)
      return reply.code(error.statusCode).type('application/json; charset=utf-8').send(body)
    }
  }
}

/** A stored session that cannot be used is a fault of the operation, whatever status its client gets. */
function levelOf({ code, statusCode }: JwtSessionError): 'info' | 'error' {
  return statusCode < 500 && code !== 'FST_JWT_SESSION_LOGIN_NEEDED' ? 'info' : 'error'
}

/** An upstream cannot say so, whatever code an error of the application's own has. */
function isEnded(error: JwtSessionError): error is SessionEndedError {
  return error.code === 'FST_JWT_SESSION_ENDED' && !isUpstreamError(error)
}

/** Lets a page of another origin read the header, beside the headers that a CORS plugin has named. */
function expose(reply: AnyReply, header: string): void {
  const exposed = [reply.getHeader('access-control-expose-headers') ?? []].flat().join(', ')
  if (
    exposed
      .toLowerCase()
      .split(/\s*,\s*/)
      .includes(header.toLowerCase())
  )
    return
  reply.header('access-control-expose-headers', exposed === '' ? header : `${exposed}, ${header}`)
}
