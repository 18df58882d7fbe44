import type { CacheStats } from '../diagnostics/stats.js'
import { TokenMap } from '../internal/token-lru.js'

/**
 * A cache of reads of the store, by the exact text of the token. A change of the user's sessions removes the entries.
 */
export interface CachedReader<Value> {
  /** The value for the token. The value is shared: callers must not change it. */
  get(token: string): Value | undefined
  /**
   * Reads, and stores the result unless a session of the user with this tag has changed, or may have changed, during
   * the read. A rejection is passed on, and no value is stored.
   */
  load(token: string, tag: string, read: () => Promise<Value>): Promise<Value>
  /** Null: no cache. */
  readonly stats: CacheStats | null
}

/** The entries of one user between two changes. */
interface UserEntries {
  readonly tag: string
  /**
   * The tokens of the entries, 1,000 at most. Never pushed to: most users have one token, and a set or an array with
   * room for more takes 130 bytes more.
   */
  tokens: readonly string[]
  /** Reads that have not settled. */
  pendingReads: number
  hasChanged: boolean
}

interface Entry<Value> {
  value: Value
  user: UserEntries
}

/** A cache that is notified of changes by the user's tag. A change removes all entries of the user. */
export class SessionCache<Value> implements CachedReader<Value> {
  readonly #isCurrent: (tag: string) => boolean
  readonly #users = new Map<string, UserEntries>()
  readonly #entries: TokenMap<Entry<Value>>
  #hits = 0
  #misses = 0

  /**
   * @param maxEntries 1 or more; over the limit the least recently used entry is dropped
   * @param isCurrent whether every change of the user with this tag older than `maxStaleMs` is known
   */
  constructor(maxEntries: number, isCurrent: (tag: string) => boolean) {
    this.#isCurrent = isCurrent
    this.#entries = new TokenMap(maxEntries, (token, { user }) => {
      user.tokens = user.tokens.filter((other) => other !== token)
      this.#removeIfEmpty(user)
    })
  }

  get(token: string): Value | undefined {
    const entry = this.#entries.get(token)
    if (entry !== undefined && this.#isCurrent(entry.user.tag)) {
      this.#hits++
      return entry.value
    }
    this.#misses++
    return undefined
  }

  async load(token: string, tag: string, read: () => Promise<Value>): Promise<Value> {
    if (!this.#isCurrent(tag)) return read()
    const user = this.#userWith(tag)
    user.pendingReads++
    try {
      const value = await read()
      if (!user.hasChanged) {
        this.#entries.set(token, { value, user })
        user.tokens = user.tokens.concat(token)
      }
      return value
    } finally {
      user.pendingReads--
      this.#removeIfEmpty(user)
    }
  }

  /** Removes the entries of the user with this tag. Null: of all users. */
  forget(tag: string | null): void {
    const changed = tag === null ? this.#users.values() : [this.#users.get(tag)]
    for (const user of changed) if (user !== undefined) this.#forgetUser(user)
  }

  get stats(): CacheStats {
    return { size: this.#entries.size, hits: this.#hits, misses: this.#misses }
  }

  /** The number of users and of tokens, for tests: neither may grow without bound. */
  get size(): { users: number; tokens: number } {
    let tokens = 0
    for (const user of this.#users.values()) tokens += user.tokens.length
    return { users: this.#users.size, tokens }
  }

  #userWith(tag: string): UserEntries {
    const known = this.#users.get(tag)
    if (known !== undefined) return known
    const user: UserEntries = { tag, tokens: [], pendingReads: 0, hasChanged: false }
    this.#users.set(tag, user)
    return user
  }

  /** A changed user has left the map, which may hold newer entries under the same tag. */
  #removeIfEmpty(user: UserEntries): void {
    if (user.tokens.length === 0 && user.pendingReads === 0 && !user.hasChanged) this.#users.delete(user.tag)
  }

  /** Pending reads see that the user has changed, and store no value. */
  #forgetUser(user: UserEntries): void {
    user.hasChanged = true
    for (const token of user.tokens) this.#entries.delete(token)
    this.#users.delete(user.tag)
  }
}

/** No cache: every request reads from the store. */
export const NO_CACHE: CachedReader<never> = {
  get: () => undefined,
  load: (_token, _tag, read) => read(),
  stats: null
}
