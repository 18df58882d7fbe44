import type { UserParser } from '../model/user.js'
import type { SessionsDeps } from './stored-sessions.js'

/** The parts behind `app.sessions`. */
export interface Internals extends SessionsDeps {
  users: Pick<UserParser, 'parse' | 'explain'>
  /** Null: only bearer tokens. */
  cookieName: string | null
}

/**
 * Decorator with the parts of a scope, for `fastify-jwt-session/testing` alone: tests open and end sessions as
 * applications must not. A registered symbol: copies of this package share the key.
 */
export const INTERNALS: unique symbol = Symbol.for('fastify-jwt-session.internals')
