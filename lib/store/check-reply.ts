import { isSessionId } from '../model/session-id.js'
import {
  type CreateResult,
  END_REASONS,
  type EndReason,
  type FoundRecord,
  type StoredSession
} from './session-store.js'

// Only what proves an end is an end, and only an acknowledgement is one: a client inside MULTI is answered `QUEUED`, a
// driver gives undefined for a missing disk. A store may be of the application's own, and written in JavaScript.

const CREATE_RESULTS: readonly unknown[] = ['created', 'full', 'too_late', 'revoked'] satisfies CreateResult[]

/** A reply that the contract of the store, or the store's own script, does not know. */
export class UnexpectedReplyError extends Error {
  readonly code = 'UNEXPECTED_REPLY'
}

/** Whether the error is of this kind, also of another copy of this package. */
export function isUnexpectedReply(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'UNEXPECTED_REPLY'
}

/** @throws {UnexpectedReplyError} as every function here: a reply that the contract does not know */
export function checkCreated(reply: unknown): CreateResult {
  if (!isCreateResult(reply)) throw unexpectedReply()
  return reply
}

/** Null, a record, or why the session has ended; not both. */
export function checkFound(reply: unknown): FoundRecord | null {
  if (reply === null || isFoundRecord(reply)) return reply
  throw unexpectedReply()
}

/** Whether the record was replaced. */
export function checkReplaced(reply: unknown): boolean {
  if (typeof reply !== 'boolean') throw unexpectedReply()
  return reply
}

/** The record that has ended, or null. */
export function checkEnded(reply: unknown): { record: string } | null {
  if (reply === null || isRecord(reply)) return reply
  throw unexpectedReply()
}

/** Nothing: what is no acknowledgement, such as a text of Redis, must not pass for one. */
export function checkAllEnded(reply: unknown): void {
  if (reply !== undefined) throw unexpectedReply()
}

/** Sessions with this tag. */
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

/** Of anything: a primitive has none of the fields that matter here. */
function fieldsOf(value: unknown): { id?: unknown; record?: unknown; ended?: unknown } {
  return value ?? {}
}

function unexpectedReply(): UnexpectedReplyError {
  return new UnexpectedReplyError('The store has replied with something else')
}
