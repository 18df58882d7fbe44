import { TokenMap } from '../internal/token-lru.js'

/** What was read from the store, by the exact text of the token: as long as nothing of the user can have changed. */
export interface CachedReader<Value> {
  /** What is stored for the token. It is shared: not to be changed. */
  get(token: string): Value | undefined
  /**
   * Reads, and stores the result unless something of the user with this tag has changed, or may have, since the reading
   * began. A rejection is passed on, and nothing is stored.
   */
  load(token: string, tag: string, read: () => Promise<Value>): Promise<Value>
}

/** All that is stored of one user, between two changes. */
interface UserEntries {
  readonly tag: string
  readonly tokens: Set<string>
  /** Readings that have not settled yet. */
  readings: number
  hasChanged: boolean
}

interface Entry<Value> {
  value: Value
  user: UserEntries
}

/** A cache that is notified of changes, by the user's tag. A change ends all that is stored of that user. */
export class SessionCache<Value> implements CachedReader<Value> {
  readonly #isCurrent: (tag: string) => boolean
  readonly #users = new Map<string, UserEntries>()
  readonly #entries: TokenMap<Entry<Value>>

  /**
   * @param maxEntries 1 or more; over it, what was not used for the longest time is dropped
   * @param isCurrent whether every change of the user with this tag is known, but for the last moment
   */
  constructor(maxEntries: number, isCurrent: (tag: string) => boolean) {
    this.#isCurrent = isCurrent
    this.#entries = new TokenMap(maxEntries, (token, { user }) => {
      user.tokens.delete(token)
      this.#removeIfEmpty(user)
    })
  }

  get(token: string): Value | undefined {
    const entry = this.#entries.get(token)
    return entry !== undefined && this.#isCurrent(entry.user.tag) ? entry.value : undefined
  }

  async load(token: string, tag: string, read: () => Promise<Value>): Promise<Value> {
    if (!this.#isCurrent(tag)) return read()
    const user = this.#userWith(tag)
    user.readings++
    try {
      const value = await read()
      if (!user.hasChanged) {
        this.#entries.set(token, { value, user })
        user.tokens.add(token)
      }
      return value
    } finally {
      user.readings--
      this.#removeIfEmpty(user)
    }
  }

  /** Something of the user with this tag has changed; of any user, when it is null. */
  forget(tag: string | null): void {
    const changed = tag === null ? this.#users.values() : [this.#users.get(tag)]
    for (const user of changed) if (user !== undefined) this.#forgetUser(user)
  }

  /** How many users and tokens are known, for tests: neither may grow without bound. */
  get size(): { users: number; tokens: number } {
    let tokens = 0
    for (const user of this.#users.values()) tokens += user.tokens.size
    return { users: this.#users.size, tokens }
  }

  #userWith(tag: string): UserEntries {
    const known = this.#users.get(tag)
    if (known !== undefined) return known
    const user = { tag, tokens: new Set<string>(), readings: 0, hasChanged: false }
    this.#users.set(tag, user)
    return user
  }

  /** A user that has changed is not in the map any more: under the same tag there may be the entries since the change. */
  #removeIfEmpty(user: UserEntries): void {
    if (user.tokens.size === 0 && user.readings === 0 && !user.hasChanged) this.#users.delete(user.tag)
  }

  /** Readings that have not settled see that the user has changed, and store nothing. */
  #forgetUser(user: UserEntries): void {
    user.hasChanged = true
    for (const token of user.tokens) this.#entries.delete(token)
    this.#users.delete(user.tag)
  }
}

/** Without a cache: every request reads. */
export const NO_CACHE: CachedReader<never> = {
  get: () => undefined,
  load: (_token, _tag, read) => read()
}
