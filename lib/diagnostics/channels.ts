import { channel, type Channel as NodeChannel } from 'node:diagnostics_channel'
import type { SessionEndReason } from '../errors.js'

/**
 * The messages by the names of their channels, for subscribers of `node:diagnostics_channel`. Messages are frozen plain
 * objects, without secret, token, session id or address. A user id is in `login`, `register` and `end` only, and is
 * never a label of a metric: there are as many values as users.
 *
 * @example
 * subscribe('fastify-jwt-session:verify', (message) => {
 *   const { outcome, durationMs } = message as DiagnosticsMessages['fastify-jwt-session:verify']
 *   histogram.observe({ outcome }, durationMs / 1_000)
 * })
 */
export interface DiagnosticsMessages {
  'fastify-jwt-session:verify': VerifyMessage
  'fastify-jwt-session:login': LoginMessage
  'fastify-jwt-session:register': LoginMessage
  'fastify-jwt-session:end': EndMessage
  'fastify-jwt-session:breaker': BreakerMessage
}

/** A verified token or a refused request: by the guard, or by `app.sessions.verify()`. */
export interface VerifyMessage {
  /** `'ok'`, or the error: each is the end of a code, except `'unavailable'`, a 503. */
  readonly outcome: 'ok' | 'missing' | 'ended' | 'not_fresh' | 'login_needed' | 'cross_site' | 'unavailable'
  /** Why the session has ended; with the outcome `'ended'` only. */
  readonly reason?: SessionEndReason
  /** Whether the session came from the cache of this process. */
  readonly cached: boolean
  /** Milliseconds until the outcome, without the error reply. */
  readonly durationMs: number
  /** The pattern of the route, such as `/orders/:id`. Null: an unknown URL, or `app.sessions.verify()`. */
  readonly route: string | null
}

/** A login or registration that was accepted or refused. */
export interface LoginMessage {
  /**
   * - `'ok'`: the session is open, or the upstream has accepted the registration;
   * - `'rejected'`: the upstream rejected the credentials or the registration, also by an error of the application;
   * - `'limit'`: `session.maxPerUser` with `'reject'`, or a 429 of the upstream;
   * - `'invalid'`: the body is invalid, or the page has another origin;
   * - `'unavailable'`: a status of 500 and above, of the upstream, the store or a function of the application.
   */
  readonly outcome: 'ok' | 'rejected' | 'limit' | 'invalid' | 'unavailable'
  /** Milliseconds from the arrival of the request, or from the call of `app.sessions.login()`. */
  readonly durationMs: number
  /** The id of the user that the upstream or the application has accepted; absent before. Never a name from a body. */
  readonly userId?: string
}

/** The end of sessions on request. A session that expires has no message. */
export interface EndMessage {
  /** The reason that the store stores. */
  readonly reason: Exclude<SessionEndReason, 'invalid_token' | 'expired' | 'unknown'>
  /**
   * - `'logout'`: the logout route;
   * - `'revoke'`: `app.sessions.revoke()`, or `revokeAll()` with one message for all sessions of the user;
   * - `'list'`: the routes of `/user/sessions`; `DELETE` without an id with one message for all other sessions;
   * - `'limit'`: a login over `session.maxPerUser`, with one message for each ended session;
   * - `'login'`: a login with the token of the session.
   */
  readonly by: 'logout' | 'revoke' | 'list' | 'limit' | 'login'
  /** Absent when the user of the record cannot be read. */
  readonly userId?: string
}

/** A circuit breaker has opened or closed. */
export interface BreakerMessage {
  /** The session store, or the upstream for logins and registrations. */
  readonly of: 'store' | 'upstream'
  /** With several servers of a store `'open'` from the first open circuit until all circuits are closed again. */
  readonly state: 'open' | 'closed'
}

/** A channel of this package. Without a subscriber callers read no clock and create no object. */
export class Channel<Message extends object> {
  // A strong reference: Node forgets a channel that is neither subscribed nor referenced.
  readonly #channel: NodeChannel

  constructor(name: keyof DiagnosticsMessages) {
    this.#channel = channel(name)
  }

  get hasSubscribers(): boolean {
    return this.#channel.hasSubscribers
  }

  /** Calls the subscribers. What a subscriber throws becomes an uncaught exception of the process, after the request. */
  publish(message: Message): void {
    this.#channel.publish(Object.freeze(message))
  }
}

/** Verified tokens and refused requests. */
export const verifications = new Channel<VerifyMessage>('fastify-jwt-session:verify')
/** Logins. */
export const logins = new Channel<LoginMessage>('fastify-jwt-session:login')
/** Registrations. */
export const registrations = new Channel<LoginMessage>('fastify-jwt-session:register')
/** Ended sessions. */
export const ends = new Channel<EndMessage>('fastify-jwt-session:end')
/** Circuit breakers. */
export const breakers = new Channel<BreakerMessage>('fastify-jwt-session:breaker')
