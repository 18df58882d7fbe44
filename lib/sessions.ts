import type { AccessTokenClaims, AccessTokens } from './access-token.js'
import { InvalidUserError, SessionEndedError } from './errors.js'
import type { Session, User } from './session.js'
import { createSessionId, isSessionId } from './session-id.js'
import { decodeRecord, encodeRecord } from './session-record.js'
import type { SessionStore } from './store/session-store.js'
import type { UserParser } from './user.js'

/** Where a login came from, kept for the user to recognise his sessions by. */
export interface SessionDetails {
  /** Cut at 64 characters. */
  ip?: string | undefined
  /** Cut at 256 characters. */
  userAgent?: string | undefined
}

/** `app.sessions`. Each method that asks the store rejects with a `StoreUnavailableError` when it cannot. */
export interface Sessions {
  /**
   * Opens a session without asking the upstream: for a login of your own (a magic link, OAuth, a passkey).
   * @throws {InvalidUserError} the user does not fit `userSchema`
   * @throws {InvalidClaimsError} `jwt.claims` is at fault
   */
  create(user: User, details?: SessionDetails): Promise<{ token: string; session: Session }>
  /** The live session with this id, or null. */
  find(id: string): Promise<Session | null>
  /** Ends the session on every instance at once. Does nothing when there is none. */
  revoke(id: string): Promise<void>
  /** Whether the store answers, for a readiness probe. Never rejects. */
  isReady(): Promise<boolean>
}

/** What the routes and verifySession use besides. */
export interface InternalSessions extends Sessions {
  /**
   * The live session that the token names.
   * @throws {SessionEndedError} there is none
   */
  verify(claims: AccessTokenClaims): Promise<Session>
}

interface SessionsParts {
  /** Bounded: it rejects with a StoreUnavailableError only. */
  store: SessionStore
  ttlSeconds: number
  users: UserParser
  accessTokens: AccessTokens
}

const MAX_USER_AGENT_LENGTH = 256
// The longest textual IPv6 address with a zone is shorter.
const MAX_IP_LENGTH = 64

/** The rules of a session's life, on top of a store that only keeps records. */
export function createSessions({ store, ttlSeconds, users, accessTokens }: SessionsParts): InternalSessions {
  async function lookUp(id: string): Promise<Session | 'expired' | 'unknown'> {
    const record = isSessionId(id) ? await store.find(id) : null
    const session = typeof record === 'string' ? decodeRecord(id, record, users) : null
    if (session === null) return 'unknown'
    return session.expiresAt > Date.now() ? session : 'expired'
  }

  return {
    async create(value, details) {
      const user = users.parse(value)
      if (user === null) throw new InvalidUserError()
      const createdAt = Date.now()
      const session: Session = {
        id: createSessionId(user.id),
        user,
        createdAt,
        expiresAt: createdAt + ttlSeconds * 1_000,
        lastSeenAt: createdAt,
        ip: cut(details?.ip, MAX_IP_LENGTH),
        userAgent: cut(details?.userAgent, MAX_USER_AGENT_LENGTH)
      }
      const token = accessTokens.sign(session)
      // Until the token's own `exp`, up to a second longer than the session: so that expired never looks like unknown.
      const keepUntil = Math.ceil(session.expiresAt / 1_000) * 1_000
      await store.create(session.id, encodeRecord(session), keepUntil - createdAt)
      return { token, session }
    },

    async find(id) {
      const found = await lookUp(id)
      return typeof found === 'string' ? null : found
    },

    async verify({ sessionId, userId }) {
      const found = await lookUp(sessionId)
      if (typeof found === 'string') throw new SessionEndedError(found)
      // RFC 8725 3.8: the token and the record must speak of the same user.
      if (found.user.id !== userId) throw new SessionEndedError('unknown')
      return found
    },

    async revoke(id) {
      if (isSessionId(id)) await store.delete(id)
    },

    async isReady() {
      try {
        await store.find(createSessionId(''))
        return true
      } catch {
        return false
      }
    }
  }
}

function cut(text: unknown, maxLength: number): string | null {
  return typeof text === 'string' ? text.slice(0, maxLength) : null
}
