import { isSessionId } from '../model/session-id.js'
import {
  type CreateResult,
  END_REASONS,
  type EndReason,
  type FoundRecord,
  type StoredSession
} from './session-store.js'

// Every reply of a store is checked, because a wrong reply could log out a user or confirm a logout that has not
// happened. Inside MULTI a Redis client replies `QUEUED`; a driver may return undefined for a missing disk; an
// application's store may be written in JavaScript.

const CREATE_RESULTS: readonly unknown[] = ['created', 'full', 'too_late', 'revoked'] satisfies CreateResult[]

/** A reply that neither the contract of the store nor the Redis script defines. */
export class UnexpectedReplyError extends Error {
  readonly code = 'UNEXPECTED_REPLY'
}

/** Whether the error is an {@link UnexpectedReplyError}, also of another copy of this package. */
export function isUnexpectedReply(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'UNEXPECTED_REPLY'
}

/** Checks a reply of `create()`. @throws {UnexpectedReplyError} like every function here: an undefined reply */
export function checkCreated(reply: unknown): CreateResult {
  if (!isCreateResult(reply)) throw unexpectedReply()
  return reply
}

/** Checks a reply of `find()`: null, a record, or a reason, but not both. */
export function checkFound(reply: unknown): FoundRecord | null {
  if (reply === null || isFoundRecord(reply)) return reply
  throw unexpectedReply()
}

/** Checks a reply of `replace()` and `writeTokens()`. */
export function checkReplaced(reply: unknown): boolean {
  if (typeof reply !== 'boolean') throw unexpectedReply()
  return reply
}

/** Checks a reply of `readTokens()`: a text, or null. */
export function checkTokens(reply: unknown): string | null {
  if (reply === null || (typeof reply === 'string' && reply !== '')) return reply
  throw unexpectedReply()
}

/** Checks a reply of `end()`: the former record, or null. */
export function checkEnded(reply: unknown): { record: string } | null {
  if (reply === null || isRecord(reply)) return reply
  throw unexpectedReply()
}

/** Checks a reply of `endAll()`, which must be undefined: a text of Redis, for example, is no acknowledgement. */
export function checkAllEnded(reply: unknown): void {
  if (reply !== undefined) throw unexpectedReply()
}

/** Checks a reply of `list()`: sessions with this tag. */
export function checkList(reply: unknown, tag: string): StoredSession[] {
  if (!Array.isArray(reply)) throw unexpectedReply()
  return reply.map((session: unknown) => {
    if (isStoredSession(session) && session.id.startsWith(tag)) return session
    throw unexpectedReply()
  })
}

function isCreateResult(reply: unknown): reply is CreateResult {
  return CREATE_RESULTS.includes(reply)
}

function isFoundRecord(reply: unknown): reply is FoundRecord {
  const { record, ended } = fieldsOf(reply)
  return ended === undefined ? isText(record) : record === undefined && isEndReason(ended)
}

function isEndReason(value: unknown): value is EndReason {
  return END_REASONS.some((reason) => reason === value)
}

function isRecord(reply: unknown): reply is { record: string } {
  return isText(fieldsOf(reply).record)
}

function isStoredSession(session: unknown): session is StoredSession {
  const { id, record } = fieldsOf(session)
  return isSessionId(id) && isText(record)
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value !== ''
}

/** The fields of any value. A primitive has none of the three fields. */
function fieldsOf(value: unknown): { id?: unknown; record?: unknown; ended?: unknown } {
  return value ?? {}
}

function unexpectedReply(): UnexpectedReplyError {
  return new UnexpectedReplyError('The reply of the store is not in its contract')
}
