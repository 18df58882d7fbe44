import {
  type CreateOptions,
  type CreateResult,
  EARLY_END_MS,
  type EndReason,
  type FoundRecord,
  MAX_EVICTIONS,
  type SessionStore
} from 'fastify-jwt-session'

/** All that is known of one user, as a plain value: whatever can change a value in one step can be a store. */
export interface UserSessions {
  /** Those that have not expired, in the order of their last written activity, the oldest first. */
  entries: Entry[]
  /** Epoch milliseconds of the last `endAll()`. */
  revokedAt: number
}

export interface Entry {
  id: string
  found: FoundRecord
  /** Epoch milliseconds. */
  expiresAt: number
}

/** Where the values are. */
export interface Users {
  /** The value of this user, or a new one when there is none. Rejects when that is not sure. */
  read(tag: string): Promise<UserSessions>
  /**
   * Reads, edits and writes the value of this user in one step for every process, and resolves to what the edit returned.
   * `now`: epoch milliseconds by a clock that all these processes share.
   */
  change<T>(tag: string, edit: (user: UserSessions, now: number) => T): Promise<T>
}

/** A store of sessions, of a store of values. */
export function createUserStore(users: Users): SessionStore {
  return {
    async create(id, record, options) {
      const login = { id, record, ...options }
      const { result, evicted } = await users.change(tagOf(id), (user, now) => open(user, login, now))
      if (evicted > 0) options.limit.onEvicted?.(evicted)
      return result
    },
    async find(id) {
      const { entries } = await users.read(tagOf(id))
      return entries.find((entry) => entry.id === id)?.found ?? null
    },
    replace: (id, record, next) =>
      users.change(tagOf(id), ({ entries }) => {
        const index = entries.findIndex((entry) => entry.id === id && recordIn(entry) === record)
        if (index < 0) return false
        for (const { expiresAt } of entries.splice(index, 1)) entries.push({ id, found: { record: next }, expiresAt })
        return true
      }),
    end: (id, reason) =>
      users.change(tagOf(id), ({ entries }) => {
        const entry = entries.find((entry) => entry.id === id)
        if (entry !== undefined) return end(entry, reason)
        entries.push({ id, found: { ended: reason }, expiresAt: Date.now() + EARLY_END_MS })
        return null
      }),
    endAll: (tag, reason, exceptId) =>
      users.change(tag, (user, now) => {
        for (const entry of user.entries) if (entry.id !== exceptId) end(entry, reason)
        user.revokedAt = now
      }),
    async list(tag) {
      const { entries } = await users.read(tag)
      return entries.flatMap(({ id, found }) => ('record' in found ? [{ id, record: found.record }] : []))
    }
  }
}

type Login = CreateOptions & { id: string; record: string }

function open({ entries, revokedAt }: UserSessions, login: Login, now: number) {
  const refused = (result: CreateResult) => ({ result, evicted: 0 })
  if (Date.now() > login.notAfter || Date.now() >= login.expiresAt) return refused('too_late')
  const known = entries.find(({ id }) => id === login.id)
  if (known !== undefined) return refused('record' in known.found ? 'created' : 'too_late')
  if (now - login.startedMsAgo < revokedAt) return refused('revoked')

  const records = entries.filter((entry) => recordIn(entry) !== null)
  const replaced = records.find(({ id }) => id === login.replaces)
  const counted = records.filter((entry) => entry !== replaced)
  const surplus = counted.slice(0, Math.max(0, counted.length + 1 - login.limit.max))
  if (surplus.length > 0 && login.limit.onFull === 'reject') return refused('full')

  if (replaced !== undefined) end(replaced, 'logged_in_again')
  const evicted = surplus.slice(0, MAX_EVICTIONS)
  for (const entry of evicted) end(entry, 'replaced')
  entries.push({ id: login.id, found: { record: login.record }, expiresAt: login.expiresAt })
  return { result: 'created' as const, evicted: evicted.length }
}

/** Puts the reason in the place of the record, and returns the record. The first reason is kept. */
function end(entry: Entry, reason: EndReason): { record: string } | null {
  const record = recordIn(entry)
  if (record === null) return null
  entry.found = { ended: reason }
  return { record }
}

function recordIn({ found }: Entry): string | null {
  return 'record' in found ? found.record : null
}

function tagOf(id: string): string {
  return id.slice(0, 16)
}
