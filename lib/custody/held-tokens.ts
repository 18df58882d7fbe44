import { parseJson } from '../internal/json.js'
import type { ReceivedTokens } from './received-tokens.js'

/** The upstream's tokens of a session. Times are epoch milliseconds by the clock of the process that received them. */
export interface HeldTokens {
  readonly accessToken: string
  /** Null: the tokens cannot be refreshed. */
  readonly refreshToken: string | null
  readonly receivedAt: number
  /** Expiry of the access token; null: not known. */
  readonly expiresAt: number | null
}

/**
 * The tokens to hold after a login or a refresh.
 *
 * @param former the tokens before the refresh: a response without a refresh token leaves the former (RFC 6749 6)
 */
export function holdTokens(received: ReceivedTokens, former?: HeldTokens): HeldTokens {
  const { accessToken, refreshToken, expiresInMs } = received
  const receivedAt = Date.now()
  return {
    accessToken,
    refreshToken: refreshToken ?? former?.refreshToken ?? null,
    receivedAt,
    expiresAt: expiresInMs === null ? null : Math.min(receivedAt + expiresInMs, Number.MAX_SAFE_INTEGER)
  }
}

/** Whether the access token is neither expired nor rejected by the upstream. */
export function isGood({ accessToken, expiresAt }: HeldTokens, rejected: string | undefined): boolean {
  return accessToken !== rejected && (expiresAt === null || Date.now() < expiresAt)
}

/** Whether the access token must be refreshed. At most half of the lifetime counts as `beforeMs`: else a token with a short
 * lifetime would be refreshed for every call. */
export function isDue(tokens: HeldTokens, beforeMs: number, rejected: string | undefined): boolean {
  const { expiresAt, receivedAt } = tokens
  if (expiresAt === null || !isGood(tokens, rejected)) return !isGood(tokens, rejected)
  return Date.now() >= expiresAt - Math.min(beforeMs, (expiresAt - receivedAt) / 2)
}

/** The text in a box. */
export function encodeTokens({ accessToken, refreshToken, receivedAt, expiresAt }: HeldTokens): string {
  return JSON.stringify([accessToken, refreshToken, receivedAt, expiresAt])
}

/** Null for a text of another format. */
export function decodeTokens(text: string): HeldTokens | null {
  const elements = parseJson(text)
  if (!Array.isArray(elements)) return null
  const [accessToken, refreshToken, receivedAt, expiresAt]: unknown[] = elements
  const isRefreshToken = refreshToken === null || typeof refreshToken === 'string'
  const isExpiry = expiresAt === null || typeof expiresAt === 'number'
  if (typeof accessToken !== 'string' || !isRefreshToken || typeof receivedAt !== 'number' || !isExpiry) return null
  return { accessToken, refreshToken, receivedAt, expiresAt }
}
