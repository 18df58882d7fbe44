import type { VerifySession } from '../guard/verify-session.js'
import type { ErrorReplies } from '../http/error-reply.js'
import type { Lifetimes } from '../model/lifetime.js'
import type { UserParser } from '../model/user.js'
import type { ResolvedOptions } from '../options/resolve-options.js'
import type { InternalSessions } from '../sessions.js'
import type { AccessTokens } from '../token/access-token.js'
import type { UpstreamClient } from '../upstream/upstream-client.js'

/** What the routes are made of; each route takes what it needs. */
export interface RouteParts {
  options: ResolvedOptions
  upstream: UpstreamClient
  users: UserParser
  accessTokens: AccessTokens
  sessions: InternalSessions
  lifetimes: Lifetimes
  errorReplies: ErrorReplies
  verifySession: VerifySession
}
