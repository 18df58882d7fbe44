import { createHash, randomBytes } from 'node:crypto'

const TAG_LENGTH = 16
const RANDOM_LENGTH = 22

/**
 * A new session id: 38 characters of base64url. The first 16, 96 bits of a hash, are those of the user, so that a store
 * can keep the sessions of a user together without knowing the user; the other 22 are 132 random bits (OWASP ASVS 7.2.3).
 */
export function createSessionId(userId: string): string {
  return userTag(userId) + randomBytes(RANDOM_LENGTH).toString('base64url').slice(0, RANDOM_LENGTH)
}

/** Whether this could be a session id; anything else never reaches a store. */
export function isSessionId(value: unknown): value is string {
  return typeof value === 'string' && SESSION_ID.test(value)
}

const SESSION_ID = new RegExp(`^[\\w-]{${TAG_LENGTH + RANDOM_LENGTH}}$`)

/** The user's tag: what the ids of all sessions of the user start with, and of no other user. */
export function userTag(userId: string): string {
  return createHash('sha256').update(userId).digest('base64url').slice(0, TAG_LENGTH)
}

/** The two parts of a session id: the user's tag, and what is random. */
export function splitSessionId(id: string): [tag: string, random: string] {
  return [id.slice(0, TAG_LENGTH), id.slice(TAG_LENGTH)]
}
