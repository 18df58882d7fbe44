import { TokenMap } from '../internal/token-lru.js'

/**
 * What was read from the store, by the exact text that was sent for it, which ends with a token: as long as nobody can
 * have changed it.
 */
export interface CachedReader<Value> {
  /** What is kept for the credentials. It is shared: not to be changed. */
  get(credentials: string): Value | undefined
  /** Reads, and keeps what was read unless something of the user has changed, or may have, since the reading began. */
  load(credentials: string, tag: string, read: () => Promise<Value>): Promise<Value>
}

/** One that is told of changes, by the user's tag. A change ends all that is kept of that user. */
export interface SessionCache<Value> extends CachedReader<Value> {
  /** Something of the user with this tag has changed; of anybody, when it is null. */
  forget(tag: string | null): void
}

/** All that is kept of one user, between two changes. */
interface UserEntries {
  readonly tag: string
  readonly credentials: Set<string>
  /** Readings that have not ended yet. */
  readings: number
  hasChanged: boolean
}

interface Entry<Value> {
  value: Value
  user: UserEntries
}

/** @param isCurrent whether every change up to now, or almost, has been told */
export function createSessionCache<Value>(maxEntries: number, isCurrent: () => boolean): SessionCache<Value> {
  const users = new Map<string, UserEntries>()
  const entries = new TokenMap<Entry<Value>>(maxEntries, (credentials, { user }) => {
    user.credentials.delete(credentials)
    removeIfEmpty(user)
  })

  function userWith(tag: string): UserEntries {
    const known = users.get(tag)
    if (known !== undefined) return known
    const user = { tag, credentials: new Set<string>(), readings: 0, hasChanged: false }
    users.set(tag, user)
    return user
  }

  function removeIfEmpty(user: UserEntries): void {
    if (user.credentials.size === 0 && user.readings === 0 && !user.hasChanged) users.delete(user.tag)
  }

  function forgetUser(user: UserEntries): void {
    user.hasChanged = true
    for (const credentials of user.credentials) entries.delete(credentials)
    users.delete(user.tag)
  }

  return {
    get(credentials) {
      return isCurrent() ? entries.get(credentials)?.value : undefined
    },
    async load(credentials, tag, read) {
      if (!isCurrent()) return read()
      const user = userWith(tag)
      user.readings++
      try {
        const value = await read()
        if (!user.hasChanged) {
          entries.set(credentials, { value, user })
          user.credentials.add(credentials)
        }
        return value
      } finally {
        user.readings--
        removeIfEmpty(user)
      }
    },
    forget(tag) {
      const changed = tag === null ? users.values() : [users.get(tag)]
      for (const user of changed) if (user !== undefined) forgetUser(user)
    }
  }
}

/** Without a cache: each reading reads. */
export const NO_CACHE: CachedReader<never> = {
  get: () => undefined,
  load: (_credentials, _tag, read) => read()
}
