import type { FastifyReply, FastifyRequest, RawServerBase, RouteGenericInterface } from 'fastify'
import {
  type JwtSessionError,
  SessionEndedError,
  type SessionEndReason,
  SessionNotFreshError,
  StoreUnavailableError,
  UpstreamBusyError
} from '../errors.js'

/** Of any server, HTTP/2 and TLS included. */
export type AnyRequest = FastifyRequest<RouteGenericInterface, RawServerBase>

/** Of any server, HTTP/2 and TLS included. */
export type AnyReply = FastifyReply<RouteGenericInterface, RawServerBase>

const CHALLENGE = 'Bearer realm="session"'

/** How the plugin answers when it does not go well, and how it says that a session is over. */
export interface Answers {
  /** Sends an error: status, headers and body. Logs it without anything the client or the upstream wrote. */
  sendError(request: AnyRequest, reply: AnyReply, error: JwtSessionError): AnyReply
  /** Adds the headers that make the client delete its stores and log the user out. */
  setClearSignal(reply: AnyReply, reason: SessionEndReason): void
}

/** @param clearSiteData the header's value, such as `"storage"`, or null to leave the header out */
export function createAnswers(clearSiteData: string | null): Answers {
  function setClearSignal(reply: AnyReply, reason: SessionEndReason): void {
    if (clearSiteData !== null) reply.header('clear-site-data', clearSiteData)
    reply.header('session-ended', reason)
    // Added to what a CORS plugin has set: without it a page of another origin cannot read the header.
    const exposed = reply.getHeader('access-control-expose-headers')
    reply.header('access-control-expose-headers', [exposed ?? [], 'Session-Ended'].flat().join(', '))
  }

  function setErrorHeaders(reply: AnyReply, error: JwtSessionError): void {
    reply.header('cache-control', 'no-store')
    if (error instanceof SessionEndedError) {
      reply.header('www-authenticate', `${CHALLENGE}, error="invalid_token"`)
      setClearSignal(reply, error.reason)
    } else if (error instanceof SessionNotFreshError) {
      // RFC 9470 3
      const { freshSeconds } = error
      reply.header(
        'www-authenticate',
        `${CHALLENGE}, error="insufficient_user_authentication", max_age="${freshSeconds}"`
      )
    } else if (error.statusCode === 401) {
      reply.header('www-authenticate', CHALLENGE)
    } else if (error instanceof StoreUnavailableError) {
      reply.header('retry-after', '1')
    } else if (error instanceof UpstreamBusyError && error.retryAfter !== undefined) {
      reply.header('retry-after', error.retryAfter)
    }
  }

  return {
    setClearSignal,
    sendError(request, reply, error) {
      const cause = error.cause instanceof Error ? error.cause.message : undefined
      request.log[error.statusCode < 500 ? 'info' : 'error']({ code: error.code, cause }, error.message)
      setErrorHeaders(reply, error)
      // A string, so that no response schema of the route rewrites the body.
      const body = JSON.stringify(error)
      return reply.code(error.statusCode).type('application/json; charset=utf-8').send(body)
    }
  }
}
