import { StoreUnavailableError, type UpstreamError, UpstreamUnavailableError } from '../errors.js'
import type { MinuteLog } from '../internal/minute-log.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { GuardedStore } from '../store/guarded-store.js'
import type { GuardedUpstream } from '../upstream/guarded-upstream.js'
import { isRefreshRefusal } from '../upstream/status-error.js'
import { toUpstreamError } from '../upstream/to-upstream-error.js'
import { createLock, LockWait, lockBox, MAX_CONFLICTS } from './box-lock.js'
import { type HeldTokens, holdTokens, isDue, isGood } from './held-tokens.js'
import { checkReceived } from './received-tokens.js'
import { type LoadedTokens, loginNeeded, type StoredTokens, type TokenSession } from './stored-tokens.js'
import type { UnsavedTokens } from './unsaved-tokens.js'

/** Dependencies of {@link TokenRefresh}. */
export interface RefreshDeps {
  store: Pick<GuardedStore, 'writeTokens'>
  stored: StoredTokens
  unsaved: UnsavedTokens
  /** Exchanges a refresh token. Undefined: tokens are not refreshed. */
  exchange: GuardedUpstream['refresh'] | undefined
  /** Milliseconds that an exchange may take. */
  timeoutMs: number
  refreshBeforeMs: number
  maxBytes: number
  log: MinuteLog
  /** Whether the app closes: then no call waits for a lock. */
  isClosing(): boolean
}

/** For the writes before and after the exchange, within which a process that is alive leaves its lock. */
const LOCK_SLACK_MS = 1_000

const NOT_REFRESHABLE =
  "The upstream's access token of a session has expired or was rejected, and is not refreshed: the upstream gave no " +
  'refresh token, or `upstream.tokens` has neither `refreshPath` nor `refresh`. The user must log in again'

const CONFLICTS = '`writeTokens()` of the store does not replace the text that `readTokens()` returns'

/**
 * Refreshes the tokens of a session once for all processes: an upstream may accept each refresh token once. The lock is a
 * part of the compared text, so that every store can hold the lock.
 */
export class TokenRefresh {
  readonly #deps: RefreshDeps

  constructor(deps: RefreshDeps) {
    this.#deps = deps
  }

  /**
   * The access token after a refresh by this process or by another process. Rejects like `TokenCustody.accessToken()`,
   * also while the former access token is still good.
   */
  async run(session: TokenSession, rejected: string | undefined): Promise<string> {
    const { stored, unsaved, timeoutMs, refreshBeforeMs, log } = this.#deps
    const lock = createLock()
    const wait = new LockWait(timeoutMs + LOCK_SLACK_MS)
    let conflicts = 0
    for (;;) {
      // Each time: another refresh of this process may have a result that is not stored yet.
      await unsaved.flush(session.id)
      const loaded = await stored.load(session)
      const { tokens } = loaded
      const isGoodToken = isGood(tokens, rejected)
      if (!isDue(tokens, refreshBeforeMs, rejected)) return tokens.accessToken
      const refreshToken = this.#deps.exchange === undefined ? null : tokens.refreshToken
      const isLocked = loaded.lock !== null && !wait.isAbandoned(loaded.lock)
      if (isGoodToken && (refreshToken === null || isLocked)) return tokens.accessToken
      if (refreshToken === null) throw loginNeeded(NOT_REFRESHABLE, log)
      if (isLocked) {
        conflicts = 0
        await this.#pause(wait)
        continue
      }
      // The whole text is compared: since the read no process has refreshed the tokens, or has begun to.
      if (!(await this.#takeLock(session, loaded, lock))) {
        if (++conflicts === MAX_CONFLICTS) throw new StoreUnavailableError(new PlainCause(CONFLICTS))
        continue
      }
      const refreshed = await this.#exchange(session, { ...loaded, refreshToken, lock })
      if (refreshed !== null) return refreshed.accessToken
    }
  }

  async #pause(wait: LockWait): Promise<void> {
    if (this.#deps.isClosing()) throw new StoreUnavailableError()
    await wait.pause()
  }

  async #takeLock(session: TokenSession, { text, box }: LoadedTokens, lock: string): Promise<boolean> {
    const { store, stored } = this.#deps
    try {
      return await store.writeTokens(session.id, lockBox(box, lock), text)
    } catch (error) {
      // Perhaps only the reply was lost.
      if ((await stored.load(session)).lock === lock) return true
      throw error
    }
  }

  /** Null: the stored text has changed meanwhile. */
  async #exchange(
    session: TokenSession,
    { box, tokens, refreshToken, lock }: LoadedTokens & { refreshToken: string; lock: string }
  ): Promise<HeldTokens | null> {
    const { stored, unsaved, maxBytes, exchange, log } = this.#deps
    let refreshed: HeldTokens
    try {
      const onDropped = (text: string) => log.warn(text)
      const received = checkReceived(await exchange?.(refreshToken), { operation: 'refresh', maxBytes, onDropped })
      refreshed = holdTokens(received, tokens)
    } catch (error) {
      const isLeft = await this.#leaveLock(session, box, lock)
      if (!isRefreshRefusal(error)) throw this.#failure(error)
      // Another process has taken over the lock, or has stored tokens: its refresh may be the reason for the refusal.
      if (!isLeft) return null
      throw loginNeeded(refusalOf(error), log)
    }
    // A copy: `request.session` refers to its request, and the result may wait for the store for hours.
    const { id, expiresAt } = session
    const next = stored.seal(refreshed, session)
    const outcome = await unsaved.save({ session: { id, expiresAt }, former: box, next, tokens: refreshed })
    return outcome === 'void' ? null : refreshed
  }

  /** Resolves to false when another process holds the lock, or has stored other tokens. */
  async #leaveLock({ id }: TokenSession, box: string, lock: string): Promise<boolean> {
    try {
      return await this.#deps.store.writeTokens(id, box, lockBox(box, lock))
    } catch {
      // The other processes take over the lock.
      return true
    }
  }

  #failure(error: unknown): UpstreamError {
    const failure = toUpstreamError('refresh', error)
    this.#deps.log.warn(`The upstream's tokens of a session were not refreshed: ${redactError(failure.cause).message}`)
    return failure.statusCode === 429 ? new UpstreamUnavailableError(failure.cause) : failure
  }
}

function refusalOf({ statusCode, cause }: UpstreamError): string {
  const answer = cause === undefined ? `refresh: status ${statusCode}` : redactError(cause).message
  return (
    `The upstream has refused to refresh the tokens of a session (${answer}): the refresh token has expired or was ` +
    'revoked, or `upstream.tokens.refreshPath` or `upstream.headers` is wrong. The user must log in again'
  )
}
