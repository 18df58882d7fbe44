import { AssertionError } from 'node:assert'
import { InvalidOptionError, type SessionEndReason } from '../errors.js'
import type { Internals } from '../live/internals.js'
import type { CreatedSession } from '../login/open-session.js'
import type { Session } from '../model/session.js'
import { encodeUpdate } from '../model/session-record.js'
import { END_REASONS, type EndReason } from '../store/session-store.js'
import { expOf } from '../token/access-token.js'
import { createUnstoredSession } from './unstored-session.js'

/**
 * Creates the function that ends a session for any reason, and resolves to the token for which requests are answered
 * with the reason.
 */
export function createEndSession(internals: Internals, { token, session }: CreatedSession) {
  const { store, openRecord } = internals
  const { id, user } = session
  const isOver = () => expOf(session) * 1_000 <= Date.now()

  async function stateOf(): Promise<string> {
    const opened = isOver() ? 'expired' : openRecord(id, await store.find(id))
    return typeof opened === 'string' ? opened : 'live'
  }

  async function endStored(reason: EndReason): Promise<void> {
    await store.end(id, reason)
    const state = await stateOf()
    if (state !== reason) throw notEnded(state, reason)
  }

  async function expire(): Promise<void> {
    while (!isOver()) {
      const opened = openRecord(id, await store.find(id))
      if (opened === 'expired') return
      if (typeof opened === 'string') throw notEnded(opened, 'expired')
      if (await store.replace(id, opened.text, encodeUpdate(opened, intoPast(opened.session)))) return
    }
  }

  async function lose(): Promise<string> {
    await store.end(id, 'revoked')
    return (await createUnstoredSession(internals)(user, {})).token
  }

  return async (reason: SessionEndReason): Promise<string> => {
    if (reason === 'invalid_token') return forge(token)
    if (reason === 'unknown') return lose()
    if (reason === 'expired') await expire()
    else if (END_REASONS.includes(reason)) await endStored(reason)
    else throw new InvalidOptionError('reason', 'must be a reason why sessions end')
    return token
  }
}

/** The same session, at its absolute expiry. */
function intoPast(session: Session): Session {
  const passedMs = session.expiresAt - Date.now()
  return { ...session, createdAt: session.createdAt - passedMs, expiresAt: session.expiresAt - passedMs }
}

/** The token with another signature. */
function forge(token: string): string {
  return token.slice(0, token.lastIndexOf('.') + 1) + Buffer.alloc(32).toString('base64url')
}

function notEnded(actual: string, expected: string): AssertionError {
  const fault = actual === 'live' ? 'the store has not ended the session' : `the session has ended before: ${actual}`
  const message = `end('${expected}'): ${fault}`
  return new AssertionError({ message, actual, expected, operator: 'end' })
}
