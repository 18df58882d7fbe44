// Options of @fastify/http-proxy for a service behind the guard, over HTTP and WebSocket. proxy.ts is a program with them.
import type { IncomingHttpHeaders } from 'node:http'
import type { FastifyHttpProxyOptions } from '@fastify/http-proxy'
import type { FastifyRequest } from 'fastify'
import { verifySession } from 'fastify-jwt-session'
import type { WebSocket } from 'ws'

/** The code of a WebSocket whose session has ended: pages log out when a socket closes with this code. */
const SESSION_ENDED = 4401

/**
 * Headers of clients that no service gets: the identity, as CGI, WSGI and PHP would read it too (`session_user`), the
 * credentials, `Proxy` (a variable of CGI programs), and headers of one connection, which undici would refuse.
 */
const DROPPED =
  /^(?:session[^a-z\d](?:user|token)|authorization|cookie|proxy|proxy-.*|expect|keep-alive|te|trailer|upgrade)$/i

/** Headers of a service that may come once: of several values the first counts. */
const SINGLE = ['content-type', 'location']

type ProxiedRequest = Pick<FastifyRequest, 'headers' | 'session'>

/**
 * The service gets the id of the user in `Session-User`, percent-encoded, and neither token nor cookie of the session. The
 * answers of the service cannot end the session. WebSockets and event streams end with the session.
 *
 * @param cookieName `cookie.name` of the plugin
 */
export function sessionProxy(cookieName = '__Host-Http-session') {
  const isOther = (cookie: string) =>
    cookie
      .replace(/^[\s=]+/, '')
      .split(/[=;]/, 1)[0]
      ?.trim() !== cookieName

  /** Names in lower case replace those of the client. */
  function identify({ headers, session }: ProxiedRequest): IncomingHttpHeaders {
    const cookie = headers.cookie?.split(';').filter(isOther).join(';').trim()
    return { ...(cookie && { cookie }), ...(session && { 'session-user': encodeURIComponent(session.user.id) }) }
  }

  const replyOptions: FastifyHttpProxyOptions['replyOptions'] = {
    rewriteRequestHeaders(request, headers) {
      const kept = Object.entries(headers).filter(([name]) => !DROPPED.test(name))
      return { ...Object.fromEntries(kept), ...identify(request) }
    },
    rewriteHeaders(
      { 'session-ended': _ended, 'clear-site-data': _clear, 'set-cookie': set = [], ...headers },
      request
    ) {
      if (/^text\/event-stream/i.test(headers['content-type'] ?? '')) {
        request?.session?.signal.addEventListener('abort', () => request.raw.destroy())
      }
      const cookies = [set].flat().filter(isOther)
      return cookies.length > 0 ? { ...headers, 'set-cookie': cookies } : headers
    },
    // The message of the error has the address of the service.
    onError(reply, { error }) {
      const isTimeout = 'statusCode' in error && error.statusCode === 504
      reply.code(isTimeout ? 504 : 502).send(new Error('The service does not respond'))
    },
    // By default a GET that the service answers 503 is sent ten times more.
    retryDelay({ res }) {
      // http-proxy reads the headers of the service next: an exception there, for a list, would end the process.
      const headers: object = res?.headers ?? {}
      for (const [name, value] of Object.entries(headers)) {
        if (SINGLE.includes(name) && Array.isArray(value)) Object.assign(headers, { [name]: value[0] })
      }
      return null
    }
  }

  // By default http-proxy does not verify the certificate of an https: service.
  const undici = { headersTimeout: 30_000, connect: { rejectUnauthorized: true } }
  return { preHandler: verifySession, replyOptions, undici, websocket: true as const, ...proxySockets(identify) }
}

/** The WebSockets of {@link sessionProxy}. */
function proxySockets(identify: (request: ProxiedRequest) => IncomingHttpHeaders) {
  // The hooks of http-proxy get no request: request and WebSocket share the connection.
  const signals = new WeakMap<object, AbortSignal>()
  const signalOf = (source: WebSocket) => ('_socket' in source ? signals.get(Object(source._socket)) : undefined)
  const connected = new WeakSet<WebSocket>()

  const wsClientOptions = {
    handshakeTimeout: 10_000,
    rewriteRequestHeaders(_headers: unknown, request: FastifyRequest) {
      const { raw, session } = request
      if (session) signals.set(raw.socket, session.signal)
      return identify(request)
    }
  }

  const wsHooks = {
    onConnect(_context: unknown, source: WebSocket, target: WebSocket) {
      connected.add(source)
      const signal = signalOf(source)
      const close = (code: number, reason: string) => [source, target].map((socket) => socket.close(code, reason))
      const end = () => close(SESSION_ENDED, 'The session has ended')
      // Before http-proxy, which throws for a message that is longer than the reason of a close may be.
      for (const socket of [source, target]) socket.prependListener('error', () => close(1011, 'The connection broke'))
      if (source.readyState !== source.OPEN) target.close()
      else if (signal === undefined || signal.aborted) end()
      else signal.addEventListener('abort', end)
    },
    // Else http-proxy closes the socket of the client with the message of the error, which has the address of the service.
    onDisconnect(_context: unknown, source: WebSocket) {
      if (connected.has(source)) return
      if (signalOf(source)?.aborted) source.close(SESSION_ENDED, 'The session has ended')
      else source.close(1011, 'The service does not respond')
    }
  }
  return { wsClientOptions, wsHooks }
}
