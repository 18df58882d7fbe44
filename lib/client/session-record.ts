import type { ClientUser, EndReason } from './types.js'

/** Of the keys of localStorage and the names of Web Locks. The `name` option follows. */
export const PREFIX = 'fastify-jwt-session:'

/** The times of a session by the page's clock, in epoch milliseconds. */
export interface SessionTimes {
  expiresAt: number
  /** Null without an idle timeout, and until known. */
  idleExpiresAt: number | null
  /** From the server's clock to the page's clock. */
  offset?: number
}

/**
 * The one entry of localStorage that all pages share: a session with `user` and times, or the tombstone of a session with
 * `reason`.
 */
export interface SessionRecord extends Partial<SessionTimes> {
  /** Random, one per login. Empty: no page has had a session. */
  key: string
  /** Time of the login, then of the end, in epoch milliseconds. Of two records the later one holds. */
  at: number
  user?: ClientUser
  /** With `transport: 'bearer'`, while the session is live or its logout is pending. */
  token?: string | undefined
  reason?: EndReason
  /** Id of the user whose data the stores may have. */
  owner?: string | undefined
  /** The stores must be emptied, and no page has done so yet. */
  full?: boolean | undefined
  /** The server must still be told of a logout. */
  pending?: boolean
}

/** The record before the first login. */
export const NO_RECORD: SessionRecord = { key: '', at: 0 }

/** The fields of a JSON object. No fields for any other text. */
export function fieldsOf(text: string | null | undefined): Record<string, unknown> {
  try {
    return { ...JSON.parse(text as string) }
  } catch {
    return {}
  }
}

/** Reads a record. Any other text is no record: all scripts of the origin can write into localStorage. */
export function parseRecord(text: string | null | undefined): SessionRecord {
  const record = fieldsOf(text)
  return record.key ? (record as unknown as SessionRecord) : NO_RECORD
}

/**
 * Whether the record holds against another one: a later login, or the end of the same login. Two pages may write at the
 * same time, and the older record may be written last.
 */
export function supersedes(record: SessionRecord, other: SessionRecord): boolean {
  return record.key === other.key ? !record.user && !!other.user : record.at > other.at
}

/** The expiry that comes first, in epoch milliseconds; NaN without a session. */
export function firstExpiry({ expiresAt, idleExpiresAt }: SessionRecord): number {
  return Math.min(expiresAt as number, idleExpiresAt ?? (expiresAt as number))
}
