import { PlainCause } from '../internal/redact-error.js'

/** Tokens of an upstream after all checks. */
export interface ReceivedTokens {
  accessToken: string
  /** Null: none. */
  refreshToken: string | null
  /** Milliseconds from now to the expiry of the access token; null: not known. */
  expiresInMs: number | null
}

/** How tokens are checked. */
export interface TokenRules {
  operation: 'login' | 'refresh'
  /** Bytes of both tokens together. */
  maxBytes: number
  /** Called when a field is not used as the upstream sent the field. The text has no value. */
  onDropped(text: string): void
}

/**
 * Checks the tokens in the answer to a login or a refresh. A refresh must not fail where a login fails: the upstream may
 * have made the former refresh token invalid, so that the user would have to log in again.
 *
 * @throws {PlainCause} names the field, without the value
 */
export function checkReceived(value: unknown, rules: TokenRules): ReceivedTokens {
  const { operation, maxBytes, onDropped } = rules
  const isLogin = operation === 'login'
  const refuse = (problem: string): never => {
    throw new PlainCause(`${operation}: in the upstream's tokens ${problem}`)
  }
  const drop = (problem: string) => onDropped(`${operation}: in the upstream's tokens ${problem}`)

  // Also an object of a class of the application.
  if (typeof value !== 'object' || value === null) return refuse('there is no object with `accessToken`')
  const { accessToken, refreshToken: optionalRefreshToken, expiresIn }: TokenFields = value
  if (!isToken(accessToken)) return refuse(`\`accessToken\` ${TOKEN_RULE}`)
  const refreshToken = optionalRefreshToken ?? null
  const isRefreshToken = refreshToken === null || isToken(refreshToken)
  if (!isRefreshToken) (isLogin ? refuse : drop)(`\`refreshToken\` ${TOKEN_RULE}`)
  const received = {
    accessToken,
    refreshToken: isRefreshToken ? refreshToken : null,
    expiresInMs: isLifetime(expiresIn) ? expiresIn * 1_000 : null
  }
  // A token has as many bytes as characters.
  if (received.accessToken.length + (received.refreshToken?.length ?? 0) > maxBytes) {
    ;(isLogin ? refuse : drop)('`accessToken` and `refreshToken` have more than `upstream.tokens.maxBytes` bytes')
  }
  if (received.expiresInMs === null && expiresIn !== undefined && expiresIn !== null) {
    drop('`expiresIn` is no positive number of seconds: the access token is refreshed only after it was rejected')
  }
  return received
}

interface TokenFields {
  accessToken?: unknown
  refreshToken?: unknown
  expiresIn?: unknown
}

const TOKEN_RULE = 'is not 1 or more characters of printable ASCII'

/** RFC 6749 A.12 and A.17. No such token adds a header line. */
function isToken(value: unknown): value is string {
  return typeof value === 'string' && /^[\x20-\x7e]+$/.test(value)
}

function isLifetime(value: unknown): value is number {
  return typeof value === 'number' && Number.isFinite(value) && value > 0
}
