import { LoginNeededError } from '../errors.js'
import type { MinuteLog } from '../internal/minute-log.js'
import { PlainCause } from '../internal/redact-error.js'
import { type OpenRecord, unusableError } from '../model/open-record.js'
import type { Session } from '../model/session.js'
import type { GuardedStore } from '../store/guarded-store.js'
import { parseStoredBox, type StoredBox } from './box-lock.js'
import { decodeTokens, encodeTokens, type HeldTokens } from './held-tokens.js'
import type { TokenBoxes } from './token-box.js'

/** The session that holds tokens. */
export type TokenSession = Pick<Session, 'id' | 'user' | 'expiresAt'>

/** The stored text of a session, with the tokens in the box. */
export interface LoadedTokens extends StoredBox {
  tokens: HeldTokens
}

/** Dependencies of {@link StoredTokens}. */
export interface StoredTokensDeps {
  store: Pick<GuardedStore, 'find' | 'readTokens'>
  openRecord: OpenRecord
  boxes: TokenBoxes
  log: MinuteLog
}

const NONE =
  'A session has no tokens of the upstream: it was opened before `upstream.tokens` was set, by `app.sessions`, or by a ' +
  'login without tokens. The user must log in again'
const CLOSED =
  'The tokens of a session cannot be decrypted: `upstream.tokens.secrets` lacks the secret that has encrypted the ' +
  'tokens, or the stored text was changed. The user must log in again'

/** Reads the upstream's tokens of sessions from the store. */
export class StoredTokens {
  readonly #deps: StoredTokensDeps

  constructor(deps: StoredTokensDeps) {
    this.#deps = deps
  }

  /** The box for the store. */
  seal(tokens: HeldTokens, { id: sessionId, user }: Pick<TokenSession, 'id' | 'user'>): string {
    return this.#deps.boxes.seal(encodeTokens(tokens), { sessionId, userId: user.id })
  }

  /**
   * Reads the tokens of a live session.
   *
   * @throws {SessionEndedError} the session has ended
   * @throws {LoginNeededError} the session has no tokens, or the tokens cannot be decrypted
   * @throws {StoreUnavailableError}
   */
  async load({ id: sessionId, user }: TokenSession): Promise<LoadedTokens> {
    const { store, openRecord, boxes, log } = this.#deps
    // The store has no clock for the idle expiry, so the session is read too.
    const [found, text] = await Promise.all([store.find(sessionId), store.readTokens(sessionId)])
    // Without tokens the session may have ended between the two reads.
    const opened = openRecord(sessionId, text === null ? await store.find(sessionId) : found)
    if (typeof opened === 'string') throw unusableError(opened)
    if (text === null) throw loginNeeded(NONE, log)
    const stored = parseStoredBox(text)
    const content = boxes.open(stored.box, { sessionId, userId: user.id })
    const tokens = content === null ? null : decodeTokens(content)
    if (tokens === null) throw loginNeeded(CLOSED, log)
    return { ...stored, tokens }
  }
}

/** The error for a request, after a log line for the operator. */
export function loginNeeded(problem: string, log: MinuteLog): LoginNeededError {
  log.error(problem)
  return new LoginNeededError(new PlainCause(problem))
}
