import { LONGEST_DELAY_MS } from '../internal/deadline.js'
import { sessionTag } from '../model/session-id.js'
import {
  type ChangeTracking,
  type CreateOptions,
  EARLY_END_MS,
  type EndReason,
  type FoundRecord,
  MAX_EVICTIONS,
  type SessionStore,
  type TrackingOptions
} from './session-store.js'

interface Entry {
  found: FoundRecord
  /** The upstream's tokens, of a session with a record only. */
  tokens: string | null
  /** Epoch milliseconds. */
  readonly expiresAt: number
  /** Frees the memory. Whether the entry has expired is decided by the clock. */
  timer: NodeJS.Timeout
}

/** The sessions of one user. */
interface User {
  /** Ids of the sessions with a record, the oldest written activity first. */
  readonly open: Set<string>
  /** `performance.now()` of the last `endAll()`. */
  revokedAt: number
  /** Forgets `revokedAt`. */
  timer?: NodeJS.Timeout
}

/** How long a login under way can still learn of an `endAll()`, in milliseconds. */
const REVOKED_MARK_MS = 3_600_000

/**
 * A store in the memory of this process, for development, tests and applications of one process. The sessions are lost
 * when the process exits. The memory of an entry is freed when the entry expires; `close()` forgets all entries.
 */
export function createMemoryStore(): SessionStore & { close(): void } {
  const store = new MemoryStore()
  // An object with own properties, so that a program can spread the store: `{ ...createMemoryStore(), find }`.
  const methods = {
    create: (...args) => store.create(...args),
    find: (...args) => store.find(...args),
    replace: (...args) => store.replace(...args),
    end: (...args) => store.end(...args),
    endAll: (...args) => store.endAll(...args),
    list: (...args) => store.list(...args),
    readTokens: (...args) => store.readTokens(...args),
    writeTokens: (...args) => store.writeTokens(...args),
    track: (options) => store.track(options),
    close: () => store.close()
  } satisfies SessionStore & { close(): void }
  memoryStores.add(methods)
  return methods
}

const memoryStores = new WeakSet<SessionStore>()

/** Whether the store is a result of {@link createMemoryStore}, without changes by a program. */
export function isMemoryStore(store: SessionStore): boolean {
  return memoryStores.has(store)
}

class MemoryStore implements SessionStore {
  /** By session id. Separate from the users: `find()` is one lookup, and no operation reads all reasons of a user. */
  readonly #entries = new Map<string, Entry>()
  /** By tag. */
  readonly #users = new Map<string, User>()
  readonly #trackers = new Set<TrackingOptions>()

  async create(id: string, record: string, options: CreateOptions) {
    const { expiresAt, startedMsAgo, notAfter, limit } = options
    if (Date.now() > notAfter || Date.now() >= expiresAt) return 'too_late'
    const known = this.#entryOf(id)?.found
    if (known !== undefined) return 'record' in known ? 'created' : 'too_late'
    const tag = sessionTag(id)
    const user = this.#users.get(tag)
    if (user !== undefined && performance.now() - startedMsAgo < user.revokedAt) return 'revoked'

    const live = this.#liveIdsOf(tag)
    const replaced = live.find((liveId) => liveId === options.replaces)
    const counted = live.filter((liveId) => liveId !== replaced)
    const surplus = counted.slice(0, Math.max(0, counted.length + 1 - limit.max))
    if (surplus.length > 0 && limit.onFull === 'reject') return 'full'

    this.#add(id, { found: { record }, tokens: options.tokens ?? null, expiresAt })
    this.#userOf(tag).open.add(id)
    if (replaced !== undefined) this.#end(replaced, 'logged_in_again')
    const evicted = surplus.slice(0, MAX_EVICTIONS)
    for (const evictedId of evicted) this.#end(evictedId, 'replaced')
    if (replaced !== undefined) options.onReplaced?.()
    if (evicted.length > 0) limit.onEvicted?.(evicted.length)
    return 'created'
  }

  async find(id: string) {
    return this.#entryOf(id)?.found ?? null
  }

  async replace(id: string, record: string, next: string) {
    const entry = this.#entryOf(id)
    if (entry === undefined || recordIn(entry) !== record) return false
    entry.found = { record: next }
    this.#report(id)
    const { open } = this.#userOf(sessionTag(id))
    open.delete(id)
    open.add(id)
    return true
  }

  async end(id: string, reason: EndReason) {
    if (this.#entryOf(id) === undefined) {
      this.#add(id, { found: { ended: reason }, tokens: null, expiresAt: Date.now() + EARLY_END_MS })
    }
    return this.#end(id, reason)
  }

  async endAll(tag: string, reason: EndReason, exceptId: string | null) {
    for (const id of this.#liveIdsOf(tag)) if (id !== exceptId) this.#end(id, reason)
    const user = this.#userOf(tag)
    user.revokedAt = performance.now()
    clearTimeout(user.timer)
    const forget = () => {
      user.revokedAt = Number.NEGATIVE_INFINITY
      this.#removeIfEmpty(tag)
    }
    user.timer = setTimeout(forget, REVOKED_MARK_MS).unref()
  }

  async list(tag: string) {
    return Array.from(this.#users.get(tag)?.open ?? []).flatMap((id) => {
      const record = recordIn(this.#entryOf(id))
      return record === undefined ? [] : [{ id, record }]
    })
  }

  async readTokens(id: string) {
    return this.#entryOf(id)?.tokens ?? null
  }

  async writeTokens(id: string, tokens: string, previous: string | null) {
    const entry = this.#entryOf(id)
    if (entry === undefined || recordIn(entry) === undefined || entry.tokens !== previous) return false
    entry.tokens = tokens
    return true
  }

  track(options: TrackingOptions): ChangeTracking {
    this.#trackers.add(options)
    return {
      attempted: Promise.resolve(),
      isCurrent: () => true,
      close: () => void this.#trackers.delete(options)
    }
  }

  close(): void {
    for (const { timer } of [...this.#entries.values(), ...this.#users.values()]) clearTimeout(timer)
    this.#entries.clear()
    this.#users.clear()
  }

  #entryOf(id: string): Entry | undefined {
    const entry = this.#entries.get(id)
    return entry !== undefined && entry.expiresAt > Date.now() ? entry : undefined
  }

  #liveIdsOf(tag: string): string[] {
    return Array.from(this.#users.get(tag)?.open ?? []).filter((id) => this.#entryOf(id) !== undefined)
  }

  #userOf(tag: string): User {
    const known = this.#users.get(tag)
    if (known !== undefined) return known
    const user = { open: new Set<string>(), revokedAt: Number.NEGATIVE_INFINITY }
    this.#users.set(tag, user)
    return user
  }

  #add(id: string, entry: Omit<Entry, 'timer'>): void {
    // An expired entry whose timer is late may have the same id.
    clearTimeout(this.#entries.get(id)?.timer)
    this.#entries.set(id, { ...entry, timer: this.#startTimer(id, entry.expiresAt) })
    this.#report(id)
  }

  /** Replaces the record by the reason, and returns the record. The first reason is kept. */
  #end(id: string, reason: EndReason): { record: string } | null {
    const entry = this.#entryOf(id)
    const record = recordIn(entry)
    if (entry === undefined || record === undefined) return null
    entry.found = { ended: reason }
    entry.tokens = null
    this.#removeFromUser(id)
    this.#report(id)
    return { record }
  }

  #startTimer(id: string, expiresAt: number): NodeJS.Timeout {
    const onTimeout = () => {
      const entry = this.#entryOf(id)
      // The delay was too long for one timer, or the clock was set back.
      if (entry !== undefined) entry.timer = this.#startTimer(id, expiresAt)
      else {
        this.#entries.delete(id)
        this.#removeFromUser(id)
        this.#report(id)
      }
    }
    return setTimeout(onTimeout, Math.min(expiresAt - Date.now(), LONGEST_DELAY_MS)).unref()
  }

  /** Called when the session no longer has a record. */
  #removeFromUser(id: string): void {
    this.#users.get(sessionTag(id))?.open.delete(id)
    this.#removeIfEmpty(sessionTag(id))
  }

  #report(id: string): void {
    for (const { onChange } of this.#trackers) onChange(sessionTag(id))
  }

  #removeIfEmpty(tag: string): void {
    const user = this.#users.get(tag)
    if (user?.open.size === 0 && user.revokedAt === Number.NEGATIVE_INFINITY) this.#users.delete(tag)
  }
}

function recordIn(entry: Entry | undefined): string | undefined {
  return entry !== undefined && 'record' in entry.found ? entry.found.record : undefined
}
