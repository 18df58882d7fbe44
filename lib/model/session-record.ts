import { isPlainObject, parseJson } from '../internal/json.js'
import type { Session, SessionData } from './session.js'
import type { UserParser } from './user.js'

// Raised by one when the elements change, so that the release before and the release after can still read a record.
const VERSION = 4

/** A record that this release can use. */
export interface DecodedRecord {
  /** As it is stored. */
  text: string
  session: Session
  /** That of the release which opened the session. */
  version: number
  /** What a newer release has added: it stays in the record, whatever this release changes. */
  unknownElements: readonly unknown[]
}

/**
 * The record of a session: its absolute expiry, its lifetime in seconds, and the time from the login to the last
 * activity, all in base 36; then the elements of a JSON array without its brackets, `data` only when there is any. Times
 * are relative, and nothing is named, because every byte is multiplied by the number of sessions.
 */
export function encodeRecord(session: Session): string {
  return encode({ session, version: VERSION, unknownElements: [] })
}

/** The same record of the session with another user or other `data`. */
export function encodeUpdate(record: DecodedRecord, session: Session): string {
  return encode({ ...record, session })
}

/** The same record with a later activity: of the text nothing else changes. */
export function encodeActivity({ text, session }: DecodedRecord, lastSeenAt: number): string {
  const from = text.indexOf(' ', text.indexOf(' ') + 1) + 1
  return text.slice(0, from) + (lastSeenAt - session.createdAt).toString(36) + text.slice(text.indexOf(' ', from))
}

function encode({ session, version, unknownElements }: Omit<DecodedRecord, 'text'>): string {
  const { user, data, createdAt, expiresAt, lastSeenAt, ip, userAgent } = session
  const times = [expiresAt, (expiresAt - createdAt) / 1_000, lastSeenAt - createdAt].map((time) => time.toString(36))
  const isDataNeeded = unknownElements.length > 0 || Object.keys(data).length > 0
  const elements = [version, user, ip, userAgent, ...(isDataNeeded ? [data, ...unknownElements] : [])]
  return `${times.join(' ')} ${JSON.stringify(elements).slice(1, -1)}`
}

/** Null when the record is corrupt, of a release too far from this one, or its user does not fit the schema. */
export function decodeRecord(id: string, text: string, users: UserParser): DecodedRecord | null {
  let at = 0
  // Not split(): it would double what it costs to read a record, and every request without a cache reads one.
  function readTime(): number {
    const from = at
    at = text.indexOf(' ', from) + 1
    return Number.parseInt(text.slice(from, at), 36)
  }
  const [expiresAt, ttlSeconds, seenAfterMs] = [readTime(), readTime(), readTime()]
  if (!isTime(expiresAt) || !isTime(ttlSeconds) || !isTime(seenAfterMs)) return null

  const elements = parseJson(`[${text.slice(at)}]`)
  if (!Array.isArray(elements)) return null
  const [version, user, ip, userAgent, data = {}, ...unknownElements] = elements as unknown[]
  if (!isReadable(version) || !users.accepts(user) || !isPlainObject(data)) return null
  if (!isText(ip) || !isText(userAgent)) return null
  const createdAt = expiresAt - ttlSeconds * 1_000
  const lastSeenAt = createdAt + seenAfterMs
  const session = { id, user, data: data as SessionData, createdAt, expiresAt, lastSeenAt, ip, userAgent }
  return { text, session, version, unknownElements }
}

function isReadable(version: unknown): version is number {
  return Number.isInteger(version) && Math.abs(Number(version) - VERSION) <= 1
}

function isTime(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function isText(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}
