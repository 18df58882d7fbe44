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

/** The result of `SessionStore.find()`. */
type Found = { record: string } | { ended: SessionEndReason } | null

/**
 * Why a stored session is unusable: the session has ended, the record is unusable for this release (`'login_needed'`),
 * or the idle expiry is not known to this process yet (`'not_known'`).
 */
export type UnusableReason = SessionEndReason | 'login_needed' | 'not_known'

/** Opens a stored session: the record of a live session, or the reason why the session is unusable. */
export type OpenRecord = (id: string, found: Found) => DecodedRecord | UnusableReason

/** Creates the one function behind the guard and every method of `app.sessions`, for the same answer everywhere. */
export function createOpenRecord(users: UserParser, lifetimes: Lifetimes): OpenRecord {
  return (id, found) => {
    if (found === null) return 'unknown'
    if ('ended' in found) return found.ended
    const decoded = decodeRecord(id, found.record, users)
    if (decoded === null) return 'login_needed'
    const state = lifetimes.stateOf(decoded.session, Date.now())
    return state === 'live' ? decoded : state
  }
}

/** The error for a request with an unusable session. */
export function unusableError(reason: UnusableReason): JwtSessionError {
  if (reason === 'login_needed') return new LoginNeededError()
  return reason === 'not_known' ? new StoreUnavailableError() : new SessionEndedError(reason)
}
