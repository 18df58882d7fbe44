import { parseJson } from './json.js'
import type { Session } from './session.js'
import type { UserParser } from './user.js'

// Bumped when the fields change. A record of another version is not found, which ends its session.
const VERSION = 1

/** A session as the store keeps it: a JSON array, because every byte is multiplied by the number of sessions. */
export function encodeRecord({ user, createdAt, expiresAt, ip, userAgent }: Session): string {
  return JSON.stringify([VERSION, user, createdAt, expiresAt, ip, userAgent])
}

/** The session in a record; null when the record is corrupt, of another version, or its user does not fit the schema. */
export function decodeRecord(id: string, record: string, users: UserParser): Session | null {
  const fields = parseJson(record)
  if (!Array.isArray(fields)) return null
  const [version, user, createdAt, expiresAt, ip, userAgent] = fields as unknown[]
  if (version !== VERSION || !users.accepts(user)) return null
  if (!isTime(createdAt) || !isTime(expiresAt) || !isText(ip) || !isText(userAgent)) return null
  return { id, user, createdAt, expiresAt, lastSeenAt: createdAt, ip, userAgent }
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isText(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}
