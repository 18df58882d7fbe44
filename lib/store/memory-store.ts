import type { SessionEndReason } from '../errors.js'
import { splitSessionId } from '../model/session-id.js'
import { KEPT_AFTER_LIFE_MS, type SessionStore } from './session-store.js'

interface Entry {
  text: string
  /** Epoch milliseconds; in the past for a reason, which is never live. */
  liveUntil: number
  forgetAt: number
  timer: NodeJS.Timeout
}

// A longer delay overflows Node's timers, which then fire at once.
const LONGEST_DELAY_MS = 2 ** 31 - 1

/**
 * Sessions in this process's memory: for development, tests and applications of one process. They are gone when it
 * exits. An entry gives its memory back when it is over. `close()` forgets them all.
 */
export function createMemoryStore(): SessionStore & { close(): void } {
  const users = new Map<string, Map<string, Entry>>()

  function entryOf(id: string): Entry | undefined {
    const entry = entriesOf(splitSessionId(id)[0]).get(id)
    return entry !== undefined && entry.forgetAt > Date.now() ? entry : undefined
  }

  /** In the order of their creation. */
  function entriesOf(tag: string): ReadonlyMap<string, Entry> {
    return users.get(tag) ?? new Map()
  }

  function keep(id: string, text: string, liveUntil: number, forgetAt: number): void {
    const [tag] = splitSessionId(id)
    const entries = users.get(tag) ?? new Map<string, Entry>()
    users.set(tag, entries)
    clearTimeout(entries.get(id)?.timer)
    entries.set(id, { text, liveUntil, forgetAt, timer: startTimer(id, forgetAt) })
  }

  function keepRecord(id: string, record: string, lifeMs: number): void {
    const liveUntil = Date.now() + lifeMs
    keep(id, record, liveUntil, liveUntil + KEPT_AFTER_LIFE_MS)
  }

  function endEntry(id: string, reason: SessionEndReason): void {
    const text = entryOf(id)?.text
    if (text !== undefined && isRecord(text)) keep(id, reason, 0, Number.parseInt(text, 36))
  }

  /** The timer frees memory; whether an entry is over is for the clock to say, in entryOf(). */
  function startTimer(id: string, forgetAt: number): NodeJS.Timeout {
    return setTimeout(
      () => {
        const [tag] = splitSessionId(id)
        const entries = users.get(tag)
        const entry = entries?.get(id)
        if (entry !== undefined && entry.forgetAt > Date.now()) entry.timer = startTimer(id, forgetAt)
        else if (entries?.delete(id) && entries.size === 0) users.delete(tag)
      },
      Math.min(forgetAt - Date.now(), LONGEST_DELAY_MS)
    ).unref()
  }

  return {
    async create(id, record, lifeMs, limit) {
      if (limit !== null) {
        const { max, evictionReason } = limit
        const live = [...entriesOf(splitSessionId(id)[0])].filter(([, { liveUntil }]) => liveUntil > Date.now())
        if (live.length >= max && evictionReason === null) return false
        const surplus = live.slice(0, Math.max(0, live.length - max + 1))
        for (const [oldest] of surplus) endEntry(oldest, evictionReason as SessionEndReason)
      }
      keepRecord(id, record, lifeMs)
      return true
    },
    async find(id) {
      return entryOf(id)?.text ?? null
    },
    async replace(id, record, next, lifeMs) {
      const entry = entryOf(id)
      if (entry?.text !== record || entry.liveUntil <= Date.now()) return false
      keepRecord(id, next, lifeMs)
      return true
    },
    async end(id, reason) {
      endEntry(id, reason)
    },
    async endAll(tag, reason, exceptId) {
      for (const id of entriesOf(tag).keys()) if (id !== exceptId) endEntry(id, reason)
    },
    async list(tag) {
      return [...entriesOf(tag)].flatMap(([id, { text }]) => (isRecord(text) ? [{ id, record: text }] : []))
    },
    close() {
      for (const entries of users.values()) for (const { timer } of entries.values()) clearTimeout(timer)
      users.clear()
    }
  }
}

function isRecord(text: string): boolean {
  return text.includes(' ')
}
