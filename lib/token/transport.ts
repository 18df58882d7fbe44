import type { FastifyRequest } from 'fastify'
import { type TProperties, type TSchema, Type } from 'typebox'
import { CrossSiteError } from '../errors.js'
import type { AnyReply } from '../http/error-reply.js'
import { isOwnPage, isWrite } from '../http/same-origin.js'
import { readBearer } from './bearer.js'
import { type CookieAttributes, formatCookie, MAX_COOKIE_LENGTH, readCookie } from './cookie.js'

// The only code with access to the token in requests and responses.

/** The part of a request that a transport reads. */
export type TransportRequest = Pick<FastifyRequest, 'headers' | 'host' | 'method'>

/** The cookie with the token. */
export interface CookieConfig extends CookieAttributes {
  /** Whether the cookie has the `Max-Age` of the session, and outlives the browser. */
  persistent: boolean
  /** Further origins whose pages may write, as in an `Origin` header. */
  origins: readonly string[]
}

/** A new session with its token. */
interface OpenedSession {
  token: string
  /** Seconds until the absolute expiry. */
  expiresIn: number
}

/** The fields of the body of a login that depend on the transport. */
export type TokenFields = { access_token: string; token_type: 'Bearer' } | { token_type: 'Cookie' }

/** How tokens come with requests, and get to clients. */
export interface TokenTransport {
  /** The request's token, whichever page sent the request; null without a token. Only after {@link checkLogin}. */
  read(request: TransportRequest): string | null
  /**
   * The request's token for a guarded route; null without a token.
   * @throws {CrossSiteError} a write by the cookie from a page of another origin (CSRF)
   */
  readChecked(request: TransportRequest): string | null
  /**
   * Checks a request that opens or ends a session without a token too: else another site could log a browser out, or
   * log a browser in as a user of that site (login CSRF).
   * @throws {CrossSiteError} a write from a page of another origin whose client does not ask for a bearer token
   */
  checkLogin(request: TransportRequest): void
  /** Maximum length of the token in the reply to a login, in characters. */
  maxTokenLengthFor(request: TransportRequest): number
  /** Adds the token to the reply to a login, and returns its fields of the body. */
  write(request: TransportRequest, reply: AnyReply, opened: OpenedSession): TokenFields
  /** Makes the browser delete the cookie. */
  clear(reply: AnyReply): void
  /** The response schema of a login with these other fields. */
  answerSchema(fields: TProperties): TSchema
}

/** @param cookie null: only bearer tokens */
export function createTransport(cookie: CookieConfig | null): TokenTransport {
  return cookie === null ? bearerTransport : new CookieTransport(cookie)
}

const OPEN = { description: 'The session is open' }

/** A browser adds no bearer token by itself: no request needs a check of its origin. */
const bearerTransport: TokenTransport = {
  read: readBearer,
  readChecked: readBearer,
  checkLogin() {},
  maxTokenLengthFor: () => Number.POSITIVE_INFINITY,
  write: (_request, _reply, { token }) => ({ access_token: token, token_type: 'Bearer' }),
  clear() {},
  answerSchema(fields) {
    const access_token = Type.String({ description: 'Send it as `Authorization: Bearer <token>`' })
    return Type.Object({ access_token, token_type: Type.Literal('Bearer'), ...fields }, OPEN)
  }
}

/** A cookie for browsers; bearer tokens for clients that send or ask for them. */
class CookieTransport implements TokenTransport {
  readonly #cookie: CookieConfig

  constructor(cookie: CookieConfig) {
    this.#cookie = cookie
  }

  read(request: TransportRequest): string | null {
    return readBearer(request) ?? this.#readCookie(request)
  }

  readChecked(request: TransportRequest): string | null {
    const bearer = readBearer(request)
    if (bearer !== null) return bearer
    const token = this.#readCookie(request)
    if (token !== null) this.#checkOrigin(request)
    return token
  }

  checkLogin(request: TransportRequest): void {
    // A page of another origin can set neither header without a preflight request.
    if (!asksForBearer(request) && readBearer(request) === null) this.#checkOrigin(request)
  }

  maxTokenLengthFor(request: TransportRequest): number {
    return asksForBearer(request) ? Number.POSITIVE_INFINITY : MAX_COOKIE_LENGTH - this.#cookie.name.length
  }

  write(request: TransportRequest, reply: AnyReply, opened: OpenedSession): TokenFields {
    if (asksForBearer(request)) return bearerTransport.write(request, reply, opened)
    const { token, expiresIn } = opened
    reply.header('set-cookie', formatCookie(this.#cookie, token, this.#cookie.persistent ? expiresIn : null))
    return { token_type: 'Cookie' }
  }

  clear(reply: AnyReply): void {
    reply.header('set-cookie', formatCookie(this.#cookie, '', 0))
  }

  answerSchema(fields: TProperties): TSchema {
    const token_type = Type.Literal('Cookie', { description: 'The token is in a cookie' })
    return Type.Union([Type.Object({ token_type, ...fields }), bearerTransport.answerSchema(fields)], OPEN)
  }

  #readCookie({ headers: { cookie } }: TransportRequest): string | null {
    return cookie === undefined ? null : readCookie(cookie, this.#cookie.name)
  }

  /** @throws {CrossSiteError} */
  #checkOrigin(request: TransportRequest): void {
    if (isWrite(request) && !isOwnPage(request, this.#cookie.origins)) throw new CrossSiteError()
  }
}

/** Whether the client, for example a native app, asks for a bearer token in place of the cookie. */
function asksForBearer({ headers }: TransportRequest): boolean {
  const transport = headers['session-transport']
  return typeof transport === 'string' && transport.toLowerCase() === 'bearer'
}
