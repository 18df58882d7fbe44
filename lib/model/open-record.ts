import {
  type JwtSessionError,
  LoginNeededError,
  SessionEndedError,
  type SessionEndReason,
  StoreUnavailableError
} from '../errors.js'
import type { Lifetimes } from './lifetime.js'
import { type DecodedRecord, decodeRecord } from './session-record.js'
import type { UserParser } from './user.js'

/** What a store has found. */
type Found = { record: string } | { ended: SessionEndReason } | null

/**
 * Why a stored session is not to be used: it has ended; there is a record that this release cannot use
 * (`'login_needed'`); or this process cannot know yet whether it has expired (`'not_known'`).
 */
export type UnusableReason = SessionEndReason | 'login_needed' | 'not_known'

/** The live session that was found for the id, or why there is none. */
export type OpenRecord = (id: string, found: Found) => DecodedRecord | UnusableReason

/**
 * Opens what the store has found, for the guard and for every method of `app.sessions`: a session that one of them shows
 * is a session that the others show.
 */
export function createOpenRecord(users: UserParser, lifetimes: Lifetimes): OpenRecord {
  return (id, found) => {
    if (found === null) return 'unknown'
    if ('ended' in found) return found.ended
    const read = decodeRecord(id, found.record, users)
    if (read === null) return 'login_needed'
    const state = lifetimes.stateOf(read.session, Date.now())
    return state === 'live' ? read : state
  }
}

/** The error reply for the reason. */
export function unusableError(reason: UnusableReason): JwtSessionError {
  if (reason === 'login_needed') return new LoginNeededError()
  return reason === 'not_known' ? new StoreUnavailableError() : new SessionEndedError(reason)
}
