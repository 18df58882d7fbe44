import type { AccessTokens } from '../access-token.js'
import type { Answers } from '../answers.js'
import type { ResolvedOptions } from '../options/resolve-options.js'
import type { InternalSessions } from '../sessions.js'
import type { UpstreamClient } from '../upstream/upstream-client.js'
import type { UserParser } from '../user.js'
import type { VerifySession } from '../verify-session.js'

/** What the routes are made of; each takes what it needs. */
export interface RouteParts {
  options: ResolvedOptions
  upstream: UpstreamClient
  users: UserParser
  accessTokens: AccessTokens
  sessions: InternalSessions
  answers: Answers
  verifySession: VerifySession
}
