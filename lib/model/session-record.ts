import { isPlainObject, parseJson } from '../internal/json.js'
import type { Session, SessionData } from './session.js'
import type { UserParser } from './user.js'
import { restoreUserAgent, shortenUserAgent } from './user-agent.js'

// Incremented when the elements change. A release reads the records of the previous and the next version.
const VERSION = 4

/** A stored record and the decoded session. */
export interface DecodedRecord {
  /** The record as stored. */
  text: string
  session: Session
  /** Record version of the release that opened the session. */
  version: number
  /** Elements of a newer release, preserved by every update. */
  unknownElements: readonly unknown[]
}

/**
 * Encodes a session as a record: absolute expiry, lifetime in seconds, and milliseconds from the login to the last
 * activity, each in base 36; then the elements of a JSON array without brackets, empty `data` omitted. Relative times,
 * unnamed fields and a shortened user agent save memory in every session.
 */
export function encodeRecord(session: Session): string {
  return encode(session)
}

/** What a record of this release has. */
const OWN_ELEMENTS = { version: VERSION, unknownElements: [] }

/** The record of the session, as this release writes it; another release may have written the session otherwise. */
export function toRecord(session: Session): DecodedRecord {
  return { text: encode(session), session, ...OWN_ELEMENTS }
}

/** The record with the user and the `data` of the changed session. */
export function encodeUpdate(record: DecodedRecord, session: Session): string {
  return encode(session, record)
}

/** The record with a later activity; the rest of the text stays the same. */
export function encodeActivity({ text, session }: DecodedRecord, lastSeenAt: number): string {
  const start = text.indexOf(' ', text.indexOf(' ') + 1) + 1
  return text.slice(0, start) + (lastSeenAt - session.createdAt).toString(36) + text.slice(text.indexOf(' ', start))
}

function encode(
  session: Session,
  { version, unknownElements }: Pick<DecodedRecord, 'version' | 'unknownElements'> = OWN_ELEMENTS
): string {
  const { user, data, createdAt, expiresAt, lastSeenAt, ip, userAgent } = session
  const ttlSeconds = (expiresAt - createdAt) / 1_000
  const activeMs = lastSeenAt - createdAt
  const elements: unknown[] = [version, user, ip, userAgent === null ? null : shortenUserAgent(userAgent)]
  if (unknownElements.length > 0 || Object.keys(data).length > 0) elements.push(data, ...unknownElements)
  const json = JSON.stringify(elements).slice(1, -1)
  return `${expiresAt.toString(36)} ${ttlSeconds.toString(36)} ${activeMs.toString(36)} ${json}`
}

/** Null for a corrupt record, an unsupported version, or a user that does not match the schema. */
export function decodeRecord(id: string, text: string, users: UserParser): DecodedRecord | null {
  let position = 0
  // split() would double the cost of decoding on every request without a cache.
  function readTime(): number {
    const start = position
    position = text.indexOf(' ', start) + 1
    return Number.parseInt(text.slice(start, position), 36)
  }
  const [expiresAt, ttlSeconds, activeMs] = [readTime(), readTime(), readTime()]
  if (!isTime(expiresAt) || !isTime(ttlSeconds) || !isTime(activeMs)) return null

  const elements: unknown = parseJson(`[${text.slice(position)}]`)
  if (!Array.isArray(elements)) return null
  const [version, user, ip, agent, data = {}, ...unknownElements]: unknown[] = elements
  if (!isSupportedVersion(version) || !users.accepts(user) || !isPlainObject(data)) return null
  if (!isTextOrNull(ip) || !isTextOrNull(agent)) return null
  const userAgent = agent === null ? null : restoreUserAgent(agent)
  const createdAt = expiresAt - ttlSeconds * 1_000
  const lastSeenAt = createdAt + activeMs
  const session = { id, user, data: data as SessionData, createdAt, expiresAt, lastSeenAt, ip, userAgent }
  return { text, session, version, unknownElements }
}

function isSupportedVersion(version: unknown): version is number {
  return Number.isInteger(version) && Math.abs(Number(version) - VERSION) <= 1
}

function isTime(value: number): boolean {
  return Number.isSafeInteger(value) && value >= 0
}

function isTextOrNull(value: unknown): value is string | null {
  return value === null || typeof value === 'string'
}
