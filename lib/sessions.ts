import { observeAttempt } from './diagnostics/attempt.js'
import { logins } from './diagnostics/channels.js'
import type { SessionsStats } from './diagnostics/stats.js'
import { InvalidUserError } from './errors.js'
import type { AnyReply, AnyRequest } from './http/error-reply.js'
import type { InternalSessions } from './live/stored-sessions.js'
import type { SessionListener, WatchedSessions } from './live/watched-sessions.js'
import type { LogIn, LogInAnswer, LogInOptions } from './login/log-in.js'
import type { CreatedSession, SessionDetails } from './login/open-session.js'
import type { Session, SessionDataPatch, User } from './model/session.js'
import type { UserParser } from './model/user.js'

/**
 * `app.sessions`. All methods and the guard agree on which sessions are live. Each method with a call to the store
 * rejects with a `StoreUnavailableError` without a response within `storeTimeoutMs`.
 */
export interface Sessions {
  /**
   * Opens a session without a call to the upstream, for the application's own login (a magic link, OAuth, a passkey).
   * @throws {InvalidUserError} the user does not match `userSchema`
   * @throws {InvalidDataError} `data` is not a JSON object, or longer than `session.maxDataBytes`
   * @throws {InvalidOptionError} `ttlSeconds` is not an integer from 1 to `session.ttlSeconds`
   * @throws {InvalidClaimsError} `jwt.claims` threw or returned invalid claims
   * @throws {SessionLimitReachedError} the user has `session.maxPerUser` sessions and `onMaxPerUser` is `'reject'`
   */
  create(user: User, details?: SessionDetails): Promise<CreatedSession>
  /**
   * Completes a login in a route of the application, like the login route after the upstream has accepted the
   * credentials: opens a session, ends the session of the request's token, and revokes the new session if the response
   * does not reach the client.
   *
   * ```ts
   * app.post('/magic', async (request, reply) => app.sessions.login(request, reply, await userOf(request)))
   * ```
   *
   * @returns the body of the response
   * @throws {ClientGoneError} the client has disconnected, or the response was already sent
   * @throws {CredentialsRejectedError} `revokeAll()` was called meanwhile; other errors: see {@link create}
   */
  login(request: AnyRequest, reply: AnyReply, user: User, options?: LogInOptions): Promise<LogInAnswer>
  /**
   * Verifies a token like the guard, for a connection that is no HTTP request: the first message of a socket, or the
   * `connection` hook of a subscription. `find(id)` checks no signature.
   *
   * @param options `slide`: whether the call is activity and extends the idle expiry. Default true
   * @returns the live session
   * @throws {SessionEndedError} the token is invalid or the session has ended
   * @throws {LoginNeededError} the record is unusable for this release
   * @throws {InvalidOptionError} `slide` is not a boolean
   */
  verify(token: string, options?: VerifyOptions): Promise<Session>
  /**
   * Watches a session, from any process: calls the listener with `{ session }` after each change, and once with
   * `{ ended: reason }` after the end, also at the expiry. An outage of the store is no end. A change that happened
   * before the call is reported at once. The listener must not throw.
   *
   * @returns stops the watch; a watch of an ended session stops by itself
   * @throws {InvalidOptionError} not a session, or not a function
   */
  watch(session: Session, listener: SessionListener): () => void
  /** Finds a live session by id; null if absent. The call does not extend the session. */
  find(id: string): Promise<Session | null>
  /**
   * Lists the user's live sessions, the oldest login first.
   * @throws {InvalidUserError} not a user id
   */
  list(userId: string): Promise<Session[]>
  /**
   * Changes fields of the session's `data`: sets defined fields of the patch and removes undefined fields. Other fields
   * keep concurrent changes by other processes. The call does not extend the session.
   * @returns the changed session, or null without a live session: an update never reopens a session
   * @throws {InvalidDataError} the changed data is longer than `session.maxDataBytes`
   */
  update(id: string, patch: SessionDataPatch): Promise<Session | null>
  /**
   * Replaces the stored user in every live session of the user, for example with a new role. The claims of issued
   * tokens do not change.
   * @returns the number of changed sessions
   * @throws {InvalidUserError} the user does not match `userSchema`, or has another id
   */
  updateUser(userId: string, user: User): Promise<number>
  /** Ends the session on every instance at once. Does nothing without a session. */
  revoke(id: string): Promise<void>
  /**
   * Ends all sessions of the user on every instance at once except the session `exceptId`, and rejects logins in
   * progress. For password changes.
   * @throws {InvalidUserError} not a user id
   */
  revokeAll(userId: string, options?: { exceptId?: string | undefined }): Promise<void>
  /** Whether the store responds, for a readiness probe. Never rejects. */
  isReady(): Promise<boolean>
  /** What this registration has open and pending in this process, for gauges. Reads counters only. */
  stats(): SessionsStats
}

/** Options of `app.sessions.verify()`. */
export interface VerifyOptions {
  /** Whether the call is activity and extends the idle expiry. Default true. */
  slide?: boolean | undefined
}

/** Dependencies of {@link createPublicSessions}. */
export interface PublicSessionsDeps {
  sessions: InternalSessions
  watched: Pick<WatchedSessions, 'watch'>
  verifyToken: Sessions['verify']
  logIn: LogIn
  users: UserParser
  stats: Sessions['stats']
}

/** Creates `app.sessions`, with the documented methods only. */
export function createPublicSessions(deps: PublicSessionsDeps): Sessions {
  const { sessions, watched, verifyToken, logIn, users, stats } = deps

  function parse(value: User): User {
    const user = users.parse(value)
    if (user === null) throw new InvalidUserError()
    return user
  }

  return {
    // Copy each documented field: an application must not set internal details.
    create: async (user, details) =>
      sessions.create(parse(user), {
        ip: details?.ip,
        userAgent: details?.userAgent,
        data: details?.data,
        ttlSeconds: details?.ttlSeconds
      }),
    login: async (request, reply, user, options) =>
      observeAttempt(logins, async (attempt) => {
        const parsed = parse(user)
        attempt?.accept(parsed.id)
        return logIn(request, reply, { user: parsed, data: options?.data, ttlSeconds: options?.ttlSeconds })
      }),
    async updateUser(userId, value) {
      const user = parse(value)
      if (user.id !== userId) throw new InvalidUserError()
      return sessions.updateUser(user)
    },
    verify: (token, options) => verifyToken(token, options),
    watch: (session, listener) => watched.watch(session, listener),
    find: (id) => sessions.find(id),
    list: (userId) => sessions.list(userId),
    update: (id, patch) => sessions.update(id, patch),
    revoke: async (id) => void (await sessions.end(id, 'revoke')),
    revokeAll: async (userId, options) => sessions.revokeAll(userId, { by: 'revoke', exceptId: options?.exceptId }),
    isReady: () => sessions.isReady(),
    stats
  }
}
