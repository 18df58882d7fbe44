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

/** The reads of one user that have not settled, between two changes. */
interface Reads {
  pending: number
  hasChanged: boolean
}

/** A cache that is notified of changes by the user's tag. A change removes all entries of the user. */
export class SessionCache<Value> implements CachedReader<Value> {
  readonly #isCurrent: (tag: string) => boolean
  /** With the user's tag as the owner. */
  readonly #entries: TokenMap<Value, string>
  /**
   * The tokens of a user's entries, 1,000 at most, by tag. No array for a single token: most users have one, and an
   * array takes 56 bytes.
   */
  readonly #tokens = new Map<string, string | readonly string[]>()
  /** By tag. */
  readonly #reads = new Map<string, Reads>()
  #hits = 0
  #misses = 0

  /**
   * @param maxEntries 1 or more; over the limit the least recently used entry is dropped
   * @param isCurrent whether every change of the user with this tag older than `maxStaleMs` is known
   */
  constructor(maxEntries: number, isCurrent: (tag: string) => boolean) {
    this.#isCurrent = isCurrent
    this.#entries = new TokenMap(maxEntries, ({ owner, token }) => this.#removeToken(owner, token))
  }

  get(token: string): Value | undefined {
    const entry = this.#entries.get(token)
    if (entry !== undefined && this.#isCurrent(entry.owner)) {
      this.#hits++
      return entry.value
    }
    this.#misses++
    return undefined
  }

  async load(token: string, tag: string, read: () => Promise<Value>): Promise<Value> {
    if (!this.#isCurrent(tag)) return read()
    const reads = this.#readsOf(tag)
    reads.pending++
    try {
      const value = await read()
      if (!reads.hasChanged) this.#addToken(tag, this.#entries.set(token, value, tag).token)
      return value
    } finally {
      reads.pending--
      if (reads.pending === 0 && !reads.hasChanged) this.#reads.delete(tag)
    }
  }

  /** Removes the entries of the user with this tag. Null: of all users. */
  forget(tag: string | null): void {
    const changed = tag === null ? this.#tags : [tag]
    for (const changedTag of changed) this.#forgetUser(changedTag)
  }

  get stats(): CacheStats {
    return { size: this.#entries.size, hits: this.#hits, misses: this.#misses }
  }

  /** The number of users and of tokens, for tests: neither may grow without bound. */
  get size(): { users: number; tokens: number } {
    return { users: this.#tags.size, tokens: [...this.#tokens.values()].flat().length }
  }

  /** The tags of all users with entries or pending reads. */
  get #tags(): Set<string> {
    return new Set([...this.#tokens.keys(), ...this.#reads.keys()])
  }

  #readsOf(tag: string): Reads {
    const known = this.#reads.get(tag)
    if (known !== undefined) return known
    const reads: Reads = { pending: 0, hasChanged: false }
    this.#reads.set(tag, reads)
    return reads
  }

  #addToken(tag: string, token: string): void {
    const tokens = this.#tokens.get(tag)
    this.#tokens.set(tag, tokens === undefined ? token : [tokens, token].flat())
  }

  #removeToken(tag: string, token: string): void {
    const others = this.#tokensOf(tag).filter((other) => other !== token)
    if (others.length === 0) this.#tokens.delete(tag)
    else this.#tokens.set(tag, others)
  }

  #tokensOf(tag: string): readonly string[] {
    return [this.#tokens.get(tag) ?? []].flat()
  }

  /** Pending reads see that the user has changed, and store no value. Later reads have a count of their own. */
  #forgetUser(tag: string): void {
    const reads = this.#reads.get(tag)
    if (reads !== undefined) reads.hasChanged = true
    this.#reads.delete(tag)
    for (const token of this.#tokensOf(tag)) this.#entries.delete(token)
    this.#tokens.delete(tag)
  }
}

/** No cache: every request reads from the store. */
export const NO_CACHE: CachedReader<never> = {
  get: () => undefined,
  load: (_token, _tag, read) => read(),
  stats: null
}
