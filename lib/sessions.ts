import { InvalidUserError, type SessionEndReason, SessionLimitReachedError, StoreUnavailableError } from './errors.js'
import { createTurns, type InTurn } from './internal/keyed-queue.js'
import type { Session, SessionDataPatch, User } from './model/session.js'
import { copyPatch } from './model/session-data.js'
import { createSessionId, isSessionId, splitSessionId, userTag } from './model/session-id.js'
import { encodeRecord, lifeMsOf, readRecord } from './model/session-record.js'
import { isUserId, type UserParser } from './model/user.js'
import type { BoundedStore } from './store/guarded-store.js'
import type { SessionLimit, StoredSession } from './store/session-store.js'
import type { AccessTokens } from './token/access-token.js'

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
   * @throws {SessionLimitReachedError} the user has `session.maxPerUser` sessions and `onMaxPerUser` is `'reject'`
   */
  create(user: User, details?: SessionDetails): Promise<{ token: string; session: Session }>
  /** The live session with this id, or null. Looking does not extend it. */
  find(id: string): Promise<Session | null>
  /**
   * The user's live sessions, the oldest first. Costs as much as he has.
   * @throws {InvalidUserError} this is no user id
   */
  list(userId: string): Promise<Session[]>
  /**
   * Changes fields of the session's `data`: those that the patch has as undefined are removed, its others are set, and
   * those that it does not have stay, also when somebody else changes them now. It does not extend the session.
   * @returns the session as it is now, or null when there is no live one: an update never brings one back
   * @throws {InvalidDataError} the data would be longer than 4 096 bytes of JSON
   */
  update(id: string, patch: SessionDataPatch): Promise<Session | null>
  /** Ends the session on every instance at once. Does nothing when there is none. */
  revoke(id: string): Promise<void>
  /**
   * Ends all sessions of the user on every instance at once, but for the one with `exceptId`. For a changed password.
   * @throws {InvalidUserError} this is no user id
   */
  revokeAll(userId: string, options?: { exceptId?: string | undefined }): Promise<void>
  /** Whether the store answers, for a readiness probe. Never rejects. */
  isReady(): Promise<boolean>
}

/** What the routes use besides. */
export interface InternalSessions extends Sessions {
  /** Ends the session; a token of it is answered with the reason from now on. */
  end(id: string, reason: SessionEndReason): Promise<void>
  /** The same for a request: all that it asks is over within one `storeTimeoutMs`, of which so much is spent already. */
  within(spentMs: number): InternalSessions
}

interface SessionsParts {
  store: BoundedStore
  ttlSeconds: number
  /** Null: no idle timeout. */
  idleTimeoutSeconds: number | null
  limit: SessionLimit | null
  /** Updates of a session take turns. Default: with none that were asked for before. */
  inTurn?: InTurn
  users: UserParser
  accessTokens: AccessTokens
}

const MAX_USER_AGENT_LENGTH = 256
// The longest textual IPv6 address with a zone is shorter.
const MAX_IP_LENGTH = 64
// Each conflict is another instance's write going through, so this many in a row are no coincidence.
const MAX_CONFLICTS = 1_000

/** The rules of a session's life, on top of a store that only keeps records. */
export function createSessions(parts: SessionsParts): InternalSessions {
  const { store, ttlSeconds, limit, users, accessTokens, inTurn = createTurns() } = parts
  const idleSeconds = parts.idleTimeoutSeconds ?? 0

  function read({ id, record }: StoredSession): Session | SessionEndReason {
    const found = readRecord(id, record, users)
    if (typeof found === 'string') return found
    // Its token is refused as well, since the option has become shorter.
    const isTooLong = found.session.expiresAt - found.session.createdAt > ttlSeconds * 1_000
    return isTooLong ? 'unknown' : found.session
  }

  /**
   * Of the user with this session id: what another release or other options have opened, and no token opens any more, must
   * not keep him from logging in. Resolves to whether there was any.
   */
  async function endUnusable(id: string, shared: BoundedStore): Promise<boolean> {
    const [tag] = splitSessionId(id)
    const unusable = (await shared.list(tag)).filter((stored) => read(stored) === 'unknown')
    await Promise.all(unusable.map((stored) => shared.end(stored.id, 'replaced')))
    return unusable.length > 0
  }

  async function updateWith(
    apply: ReturnType<typeof copyPatch>,
    id: string,
    shared: BoundedStore
  ): Promise<Session | null> {
    let refused: string | null = null
    let timesUnchanged = 0
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      const record = await shared.find(id)
      const found = readRecord(id, record, users)
      // Refused time and again although nobody changes it: for the store it has expired already.
      timesUnchanged = record === refused ? timesUnchanged + 1 : 0
      if (typeof found === 'string' || timesUnchanged > 10) return null
      const session = { ...found.session, data: apply(found.session.data) }
      const next = { ...found, session }
      if (await shared.replace(id, record as string, encodeRecord(next), lifeMsOf(next))) return session
      refused = record
    }
    throw new StoreUnavailableError()
  }

  const sessions: InternalSessions = {
    async create(value, details) {
      const user = users.parse(value)
      if (user === null) throw new InvalidUserError()
      const createdAt = Date.now()
      const session: Session = {
        id: createSessionId(user.id),
        user,
        data: {},
        createdAt,
        expiresAt: createdAt + ttlSeconds * 1_000,
        lastSeenAt: createdAt,
        ip: cut(details?.ip, MAX_IP_LENGTH),
        userAgent: cut(details?.userAgent, MAX_USER_AGENT_LENGTH)
      }
      const token = accessTokens.sign(session)
      const kept = { session, idleSeconds }
      const shared = store.within(0)
      const open = () => shared.create(session.id, encodeRecord(kept), lifeMsOf(kept), limit)
      const isOpen = (await open()) || ((await endUnusable(session.id, shared)) && (await open()))
      if (!isOpen) throw new SessionLimitReachedError()
      return { token, session }
    },

    async find(id) {
      const found = isSessionId(id) ? readRecord(id, await store.find(id), users) : 'unknown'
      return typeof found === 'string' ? null : found.session
    },

    async list(userId) {
      const found = (await store.list(tagOf(userId))).map(read)
      return found.filter((session): session is Session => typeof session !== 'string' && session.user.id === userId)
    },

    async update(id, patch) {
      const apply = copyPatch(patch)
      if (!isSessionId(id)) return null
      const askedAt = performance.now()
      return inTurn(id, () => updateWith(apply, id, store.within(performance.now() - askedAt)))
    },

    revoke: (id) => sessions.end(id, 'revoked'),

    async revokeAll(userId, { exceptId } = {}) {
      await store.endAll(tagOf(userId), 'revoked', isSessionId(exceptId) ? exceptId : null)
    },

    async end(id, reason) {
      if (isSessionId(id)) await store.end(id, reason)
    },

    within: (spentMs) => createSessions({ ...parts, inTurn, store: store.within(spentMs) }),

    async isReady() {
      try {
        await store.find(createSessionId(''))
        return true
      } catch {
        return false
      }
    }
  }
  return sessions
}

function tagOf(userId: unknown): string {
  if (!isUserId(userId)) throw new InvalidUserError()
  return userTag(userId)
}

function cut(text: unknown, maxLength: number): string | null {
  return typeof text === 'string' ? text.slice(0, maxLength) : null
}
