import { createHash, randomBytes } from 'node:crypto'

// 24 bytes make 32 characters without padding, and every one of them is the only spelling of its bytes.
const TAG_BYTES = 6
const RANDOM_BYTES = 18
const TAG_LENGTH = (TAG_BYTES / 3) * 4

/**
 * A new session id: 6 bytes that all sessions of the user share, so that a store can keep them together without being
 * told whose they are, then 144 random bits (OWASP ASVS 7.2.3).
 */
export function createSessionId(userId: string): string {
  const tag = createHash('sha256').update(userId).digest().subarray(0, TAG_BYTES)
  return Buffer.concat([tag, randomBytes(RANDOM_BYTES)]).toString('base64url')
}

/** Whether this could be a session id; anything else never reaches a store. */
export function isSessionId(value: unknown): value is string {
  return typeof value === 'string' && SESSION_ID.test(value)
}

const SESSION_ID = /^[\w-]{32}$/

/** The part of a session id that is the same for all sessions of a user, and seldom for two users. */
export function userTagOf(sessionId: string): string {
  return sessionId.slice(0, TAG_LENGTH)
}
