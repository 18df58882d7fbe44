import type { SessionEndReason } from '../errors.js'
import { isPlainObject, parseJson } from '../internal/json.js'
import type { Session, SessionData } from './session.js'
import type { UserParser } from './user.js'

// Bumped when the fields change. A record of another version is not found, which ends its session.
const VERSION = 3

/** A session as it is kept. */
export interface KeptSession {
  session: Session
  /** The idle timeout that holds until its next use, whatever the options say now; 0 for none. */
  idleSeconds: number
}

/**
 * A session as the store keeps it: its end and three times in base 36, and a JSON array, with spaces between them. Times
 * are relative to that end and to each other, because every byte is multiplied by the number of sessions.
 */
export function encodeRecord({ session, idleSeconds }: KeptSession): string {
  const { user, data, createdAt, expiresAt, lastSeenAt, ip, userAgent } = session
  const ttlSeconds = (expiresAt - createdAt) / 1_000
  const times = [expiresAt, ttlSeconds, idleSeconds, lastSeenAt - createdAt].map((time) => time.toString(36))
  const ownFields = Object.keys(data).length > 0 ? [data] : []
  return `${times.join(' ')} ${JSON.stringify([VERSION, user, ip, userAgent, ...ownFields])}`
}

/** The session that the store has kept, if it is live; else the reason why there is none. */
export function readRecord(id: string, text: string | null, users: UserParser): KeptSession | SessionEndReason {
  if (typeof text !== 'string') return 'unknown'
  if (isReason(text)) return text
  const kept = decodeRecord(id, text, users)
  if (kept === null) return 'unknown'
  return endOf(kept) > Date.now() ? kept : 'expired'
}

/** Epoch milliseconds at which the session ends unless it is used. */
export function endOf({ session: { expiresAt, lastSeenAt }, idleSeconds }: KeptSession): number {
  return idleSeconds === 0 ? expiresAt : Math.min(expiresAt, lastSeenAt + idleSeconds * 1_000)
}

/** Milliseconds until then; at least one, as a store wants it. */
export function lifeMsOf(kept: KeptSession): number {
  return Math.max(1, endOf(kept) - Date.now())
}

/** Null when it is corrupt, of another version, or its user does not fit the schema. */
function decodeRecord(id: string, text: string, users: UserParser): KeptSession | null {
  let at = 0
  // Not split(): it would double what it costs to read a record, and every request without a cache reads one.
  function readTime(): number {
    const from = at
    at = text.indexOf(' ', from) + 1
    return Number.parseInt(text.slice(from, at), 36)
  }
  const [expiresAt, ttlSeconds, idleSeconds, seenAfterMs] = [readTime(), readTime(), readTime(), readTime()]
  const fields = parseJson(text.slice(at))
  if (!isTime(expiresAt) || !isTime(ttlSeconds) || !isTime(idleSeconds) || !isTime(seenAfterMs)) return null

  const [version, user, ip, userAgent, data = {}] = Array.isArray(fields) ? (fields as unknown[]) : []
  if (version !== VERSION || !users.accepts(user) || !isPlainObject(data)) return null
  if (!isText(ip) || !isText(userAgent)) return null
  const createdAt = expiresAt - ttlSeconds * 1_000
  const lastSeenAt = createdAt + seenAfterMs
  const session = { id, user, data: data as SessionData, createdAt, expiresAt, lastSeenAt, ip, userAgent }
  return { session, idleSeconds }
}

const REASONS = ['logged_out', 'revoked', 'replaced'] satisfies SessionEndReason[]

function isReason(text: string): text is SessionEndReason {
  return REASONS.some((reason) => reason === text)
}

function isTime(value: unknown): value is number {
  return Number.isSafeInteger(value)
}

function isText(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}
