import { LoginNeededError, SessionEndedError, UpstreamInvalidError } from '../errors.js'
import type { MinuteLog } from '../internal/minute-log.js'
import { type HeldTokens, holdTokens, isDue, isGood } from './held-tokens.js'
import { checkReceived } from './received-tokens.js'
import type { StoredTokens, TokenSession } from './stored-tokens.js'
import type { TokenRefresh } from './token-refresh.js'
import type { UnsavedTokens } from './unsaved-tokens.js'

/** Dependencies of {@link TokenCustody}. */
export interface CustodyDeps {
  stored: Pick<StoredTokens, 'load' | 'seal'>
  unsaved: Pick<UnsavedTokens, 'tokensOf' | 'close'>
  refresh: Pick<TokenRefresh, 'run'>
  refreshBeforeMs: number
  maxBytes: number
  log: MinuteLog
}

/** Encrypts the tokens of a login for the store of the new session. */
export type SealTokens = (session: Pick<TokenSession, 'id' | 'user'>) => string

/** The upstream's tokens of all sessions: encrypted in the store, refreshed when due. */
export class TokenCustody {
  readonly #deps: CustodyDeps
  /** The refreshes of this process, by session id; also by session id and rejected token. */
  readonly #refreshes = new Map<string, Promise<string>>()

  constructor(deps: CustodyDeps) {
    this.#deps = deps
  }

  /**
   * Checks the tokens of a login.
   *
   * @returns undefined for a login without tokens
   * @throws {UpstreamInvalidError} the log names the wrong field
   */
  receive(value: unknown): SealTokens | undefined {
    if (value === null || value === undefined) return undefined
    const tokens = this.#check(value)
    return (session) => this.#deps.stored.seal(tokens, session)
  }

  /**
   * The access token of the session, refreshed if the token is due.
   *
   * @param rejected the access token that the upstream has rejected: this token is due in any case
   * @throws {SessionEndedError} the session has ended
   * @throws {LoginNeededError} the session has no tokens, the tokens cannot be decrypted, or the refresh was refused
   * @throws {UpstreamError} the refresh failed: 502, 503 or 504. A token that is still good is returned instead
   * @throws {StoreUnavailableError}
   */
  async accessToken(session: TokenSession, rejected: string | undefined): Promise<string> {
    const { stored, unsaved, refreshBeforeMs } = this.#deps
    const known = unsaved.tokensOf(session.id) ?? (await stored.load(session)).tokens
    if (!isDue(known, refreshBeforeMs, rejected)) return known.accessToken
    try {
      const refreshed = await this.#refreshOnce(session.id, session, rejected)
      if (refreshed !== rejected) return refreshed
      // The refresh has begun for another call, before the upstream rejected its result. A refresh by the session id may
      // again be that of a call for which the rejected token is good.
      return await this.#refreshOnce(`${session.id} ${rejected}`, session, rejected)
    } catch (error) {
      const isFinal = error instanceof LoginNeededError || error instanceof SessionEndedError
      if (!isFinal && isGood(known, rejected)) return known.accessToken
      throw error
    }
  }

  /** Waits for the refreshes of this process, and tries a last time to store their results. */
  async close(): Promise<void> {
    await Promise.allSettled(this.#refreshes.values())
    await this.#deps.unsaved.close()
  }

  #check(value: unknown): HeldTokens {
    const { maxBytes, log } = this.#deps
    try {
      return holdTokens(checkReceived(value, { operation: 'login', maxBytes, onDropped: (text) => log.warn(text) }))
    } catch (error) {
      throw new UpstreamInvalidError(error)
    }
  }

  /** All calls with a key share one refresh, which continues when the request that began it has gone. */
  #refreshOnce(key: string, session: TokenSession, rejected: string | undefined): Promise<string> {
    const running = this.#refreshes.get(key)
    if (running !== undefined) return running
    const refresh = this.#deps.refresh.run(session, rejected).finally(() => this.#refreshes.delete(key))
    this.#refreshes.set(key, refresh)
    return refresh
  }
}
