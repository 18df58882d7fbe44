import {
  type CreateOptions,
  type CreateResult,
  EARLY_END_MS,
  type EndReason,
  type FoundRecord,
  MAX_EVICTIONS,
  type SessionStore
} from 'fastify-jwt-session'

/** The stored state of a user, as a JSON value. Storage with atomic changes of a value can be a session store. */
export interface UserSessions {
  /** Sessions before expiry, ordered by the last recorded activity, oldest first. */
  entries: Entry[]
  /** Epoch milliseconds of the last `endAll()`. */
  revokedAt: number
}

/** A session, live or ended. */
export interface Entry {
  id: string
  found: FoundRecord
  /** The upstream's tokens of a live session, encrypted by the plugin. */
  tokens?: string | undefined
  /** Epoch milliseconds. */
  expiresAt: number
}

/** Storage with a value per user. */
export interface UserStorage {
  /** The value of a user, or a new value for an unknown user. Rejects when the storage fails. */
  read(tag: string): Promise<UserSessions>
  /**
   * Reads, edits and writes the value of a user atomically, and resolves to the result of `edit`. `now`: epoch
   * milliseconds, with a fraction, of a clock shared by all processes: a clock in whole milliseconds refuses a login
   * within a millisecond after `endAll()`.
   */
  change<T>(tag: string, edit: (user: UserSessions, now: number) => T): Promise<T>
}

/** Creates a session store from storage with a value per user. */
export function createUserStore(users: UserStorage): SessionStore {
  /** The shared clock minus `performance.now()`, at the last change. */
  let lastOffset = Number.NEGATIVE_INFINITY

  /** Passes `edit` a function from `performance.now()` to epoch milliseconds of the shared clock. */
  const change = <T>(tag: string, edit: (user: UserSessions, now: number, toShared: (ms: number) => number) => T) =>
    users.change(tag, (user, now) => {
      const offset = now - performance.now()
      // `now` was read before the edit: a pause between the two makes the offset too small. A login after an `endAll()`
      // of the process must not seem to be earlier, so the offset of the change before counts too.
      const best = Math.max(offset, lastOffset)
      lastOffset = offset
      return edit(user, now, (ms) => ms + best)
    })

  return {
    async create(id, record, options) {
      const startedAt = performance.now() - options.startedMsAgo
      const { result, evicted } = await change(tagOf(id), (user, _now, toShared) =>
        create(user, { id, record, ...options, startedAt: toShared(startedAt) })
      )
      if (evicted > 0) options.limit.onEvicted?.(evicted)
      return result
    },
    async find(id) {
      const { entries } = await users.read(tagOf(id))
      return entries.find((entry) => entry.id === id)?.found ?? null
    },
    replace: (id, record, next) =>
      change(tagOf(id), ({ entries }) => {
        const index = entries.findIndex((entry) => entry.id === id && recordIn(entry) === record)
        if (index < 0) return false
        for (const entry of entries.splice(index, 1)) entries.push({ ...entry, found: { record: next } })
        return true
      }),
    end: (id, reason) =>
      change(tagOf(id), ({ entries }) => {
        const entry = entries.find((entry) => entry.id === id)
        if (entry !== undefined) return end(entry, reason)
        entries.push({ id, found: { ended: reason }, expiresAt: Date.now() + EARLY_END_MS })
        return null
      }),
    endAll: (tag, reason, exceptId) =>
      change(tag, (user, now) => {
        for (const entry of user.entries) if (entry.id !== exceptId) end(entry, reason)
        user.revokedAt = now
      }),
    async list(tag) {
      const { entries } = await users.read(tag)
      return entries.flatMap(({ id, found }) => ('record' in found ? [{ id, record: found.record }] : []))
    },
    // For the option `upstream.tokens`.
    async readTokens(id) {
      const { entries } = await users.read(tagOf(id))
      return entries.find((entry) => entry.id === id)?.tokens ?? null
    },
    writeTokens: (id, tokens, previous) =>
      change(tagOf(id), ({ entries }) => {
        const entry = entries.find((entry) => entry.id === id && recordIn(entry) !== null)
        if (entry === undefined || (entry.tokens ?? null) !== previous) return false
        entry.tokens = tokens
        return true
      })
  }
}

interface NewSession extends CreateOptions {
  id: string
  record: string
  /** Start of the login in epoch milliseconds, by the clock of `revokedAt`. */
  startedAt: number
}

interface Creation {
  result: CreateResult
  /** Number of sessions ended to make room. */
  evicted: number
}

function create({ entries, revokedAt }: UserSessions, session: NewSession): Creation {
  const unchanged = (result: CreateResult): Creation => ({ result, evicted: 0 })
  if (Date.now() > session.notAfter || Date.now() >= session.expiresAt) return unchanged('too_late')
  const known = entries.find(({ id }) => id === session.id)
  if (known !== undefined) return unchanged('record' in known.found ? 'created' : 'too_late')
  if (session.startedAt < revokedAt) return unchanged('revoked')

  const records = entries.filter((entry) => recordIn(entry) !== null)
  const replaced = records.find(({ id }) => id === session.replaces)
  const counted = records.filter((entry) => entry !== replaced)
  const surplus = counted.slice(0, Math.max(0, counted.length + 1 - session.limit.max))
  if (surplus.length > 0 && session.limit.onFull === 'reject') return unchanged('full')

  if (replaced !== undefined) end(replaced, 'logged_in_again')
  const evicted = surplus.slice(0, MAX_EVICTIONS)
  for (const entry of evicted) end(entry, 'replaced')
  const { id, record, tokens, expiresAt } = session
  entries.push({ id, found: { record }, tokens, expiresAt })
  return { result: 'created', evicted: evicted.length }
}

/** Replaces the record with the reason, and returns the record. Null for an ended session: the first reason stays. */
function end(entry: Entry, reason: EndReason): { record: string } | null {
  const record = recordIn(entry)
  if (record === null) return null
  entry.found = { ended: reason }
  delete entry.tokens
  return { record }
}

function recordIn({ found }: Entry): string | null {
  return 'record' in found ? found.record : null
}

function tagOf(id: string): string {
  return id.slice(0, 16)
}
