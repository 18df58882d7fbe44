import type { TokenCustody } from '../custody/token-custody.js'
import type { Authentication } from '../guard/authenticate.js'
import type { VerifySession } from '../guard/create-guard.js'
import type { ErrorReplies } from '../http/error-reply.js'
import type { EventStreams } from '../http/event-streams.js'
import type { InternalSessions } from '../live/stored-sessions.js'
import type { WatchedSessions } from '../live/watched-sessions.js'
import type { LogIn } from '../login/log-in.js'
import type { Lifetimes } from '../model/lifetime.js'
import type { UserParser } from '../model/user.js'
import type { ResolvedOptions } from '../options/resolve-options.js'
import type { AccessTokens } from '../token/access-token.js'
import type { IdentityTokens } from '../token/identity-token.js'
import type { TokenTransport } from '../token/transport.js'
import type { GuardedUpstream } from '../upstream/guarded-upstream.js'

/** Dependencies of the routes. */
export interface RouteDeps {
  options: ResolvedOptions
  /** Null: no upstream, and neither a login route nor a registration route. */
  upstream: GuardedUpstream | null
  /** Null: the upstream's tokens are not stored. */
  custody: TokenCustody | null
  users: UserParser
  accessTokens: AccessTokens
  transport: TokenTransport
  sessions: InternalSessions
  watched: WatchedSessions
  /** Null: the route of events is off. */
  streams: EventStreams | null
  logIn: LogIn
  lifetimes: Lifetimes
  errorReplies: ErrorReplies
  verifySession: VerifySession
  authentication: Authentication
  /** Null: the verify route answers without an identity token. */
  identityTokens: IdentityTokens | null
}
