import { StoreUnavailableError } from '../errors.js'
import type { GuardedStore } from '../store/guarded-store.js'
import { MAX_CONFLICTS, parseStoredBox } from './box-lock.js'
import type { HeldTokens } from './held-tokens.js'
import type { TokenSession } from './stored-tokens.js'

/** The result of a refresh, to be stored in the place of the box that was refreshed. */
export interface RefreshedBox {
  session: Pick<TokenSession, 'id' | 'expiresAt'>
  /** The box that was refreshed. */
  former: string
  /** The box with the new tokens. */
  next: string
  tokens: HeldTokens
}

/** How the results of refreshes are stored. */
export interface UnsavedConfig {
  store: Pick<GuardedStore, 'readTokens' | 'writeTokens'>
  log: { error(text: string): void }
}

interface Unsaved extends RefreshedBox {
  timer?: NodeJS.Timeout
  pauseMs: number
}

const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 1_000
/** About 20 MB of tokens of 1 KB. */
const MAX_UNSAVED = 10_000

/**
 * Stores the results of refreshes. The upstream may have made the former refresh token invalid: so a result that the
 * store does not accept stays in this process, and is tried again until the session expires.
 */
export class UnsavedTokens {
  readonly #config: UnsavedConfig
  readonly #unsaved = new Map<string, Unsaved>()
  #isClosed = false

  constructor(config: UnsavedConfig) {
    this.#config = config
  }

  /** The newest tokens of the session, unless they are stored. */
  tokensOf(sessionId: string): HeldTokens | undefined {
    return this.#unsaved.get(sessionId)?.tokens
  }

  /** Stores the result. `'kept'`: later. `'void'`: never; the session has ended, or other tokens are stored. */
  async save(refreshed: RefreshedBox): Promise<'stored' | 'kept' | 'void'> {
    try {
      return (await this.#write(refreshed)) ? 'stored' : 'void'
    } catch {
      this.#keep({ ...refreshed, pauseMs: FIRST_PAUSE_MS })
      return 'kept'
    }
  }

  /**
   * Tries to store the tokens of the session now, if they are not stored.
   *
   * @throws {StoreUnavailableError} they stay in this process
   */
  async flush(sessionId: string): Promise<void> {
    const unsaved = this.#unsaved.get(sessionId)
    if (unsaved === undefined) return
    await this.#write(unsaved)
    this.#forget(unsaved)
  }

  /** One last try for each result. Then the results are lost. */
  async close(): Promise<void> {
    this.#isClosed = true
    await Promise.allSettled(Array.from(this.#unsaved.keys(), (id) => this.flush(id)))
    for (const unsaved of this.#unsaved.values()) this.#forget(unsaved)
  }

  #keep(unsaved: Unsaved): void {
    const { id } = unsaved.session
    const former = this.#unsaved.get(id)
    if (former !== undefined) this.#forget(former)
    if (this.#isClosed) return
    if (this.#unsaved.size >= MAX_UNSAVED) this.#dropOldest()
    this.#unsaved.set(id, unsaved)
    this.#retryLater(unsaved)
  }

  #dropOldest(): void {
    const [oldest] = this.#unsaved.values()
    if (oldest !== undefined) this.#forget(oldest)
    this.#config.log.error('Too many refreshed tokens of the upstream wait for the store: some of them are lost')
  }

  #forget(unsaved: Unsaved): void {
    clearTimeout(unsaved.timer)
    const { id } = unsaved.session
    if (this.#unsaved.get(id) === unsaved) this.#unsaved.delete(id)
  }

  #retryLater(unsaved: Unsaved): void {
    unsaved.timer = setTimeout(() => void this.#retry(unsaved), unsaved.pauseMs).unref()
    unsaved.pauseMs = Math.min(unsaved.pauseMs * 2, LONGEST_PAUSE_MS)
  }

  async #retry(unsaved: Unsaved): Promise<void> {
    try {
      if (unsaved.session.expiresAt > Date.now()) await this.#write(unsaved)
      this.#forget(unsaved)
    } catch {
      if (this.#unsaved.get(unsaved.session.id) === unsaved) this.#retryLater(unsaved)
    }
  }

  /**
   * Stores the box if the box that was refreshed is still there, under any lock: the result of a slow refresh counts
   * although another process has taken over the lock. Resolves to false when the session has ended, or another box is
   * stored.
   *
   * @throws {StoreUnavailableError} it is not known whether the box is stored
   */
  async #write({ session: { id }, former, next }: RefreshedBox): Promise<boolean> {
    const { store } = this.#config
    for (let conflicts = 0; conflicts < MAX_CONFLICTS; conflicts++) {
      const text = await store.readTokens(id)
      // After a write whose reply was lost.
      if (text === next) return true
      if (text === null || parseStoredBox(text).box !== former) return false
      if (await store.writeTokens(id, next, text)) return true
    }
    throw new StoreUnavailableError()
  }
}
