import { firstExpiry, parseRecord, type SessionRecord, type SessionTimes, supersedes } from './session-record.js'
import { attempt, readText, writeText } from './storage.js'
import { LOADING, type Tab } from './tab.js'
import type { ClientUser, EndReason, SessionSnapshot } from './types.js'

/*
 * What a page knows of the session. The record has three states, and the page a fourth:
 *
 * none                         before the first login
 * live                         from none, ended, or live with another key: openSession(), after a login, adopt(), or an
 *                              answer to a page that is loading
 * ended, pending or not        from live with the same key, or none: endSession(), by an answer, the stream, logout(), or
 *                              the clock. Final: for one key no record is live again
 * loading, of this page only   at the start: expectAnswer(); until the next answer or the next record
 */

/** The current record: what localStorage has now, unless this page knows better. */
export function sync(tab: Tab): SessionRecord {
  const text = readText(tab)
  if (text === tab.text) return tab.record
  const next = parseRecord(text)
  const { key, pending } = tab.record
  if (supersedes(tab.record, next)) writeText(tab, JSON.stringify(tab.record))
  else if (next.key) {
    tab.text = text
    apply(tab, next)
    // The other page has changed its copy of the record before the acknowledgment was in the copy.
    if (pending === false && next.pending) acknowledge(tab, key)
  }
  return tab.record
}

/** Whether the session should have ended by now. */
export function isPast(tab: Tab): boolean {
  return Date.now() >= firstExpiry(sync(tab))
}

/** Whether the page shows `loading` until the next answer or the next record. */
export function expectAnswer(tab: Tab, expects: boolean): void {
  tab.expects = expects
  show(tab)
}

/** A session that the server has opened. Data of another user must have been left. */
export function openSession(tab: Tab, session: OpenedSession): void {
  const at = Math.max(Date.now(), sync(tab).at + 1)
  // The key is no secret, and `crypto.randomUUID` is missing over plain HTTP.
  replace(tab, { ...session, key: `${Math.random()}`, at, owner: session.user.id })
}

/** A session as the server has opened it. */
export interface OpenedSession extends SessionTimes {
  user: ClientUser
  token?: string | undefined
}

/** Before another user's session is opened: the session of the page is over. The record is replaced by the login. */
export function leaveSession(tab: Tab): void {
  const { key, at, user, reason = 'logged_in_again' } = tab.record
  tab.record = { key, at, reason }
  if (user) endOnPage(tab, reason)
  if (!tab.config.clear) emptyTab(tab)
  expectAnswer(tab, true)
}

/** New facts about the session with this key. Without effect when another record is current. */
export function updateSession(tab: Tab, key: string, facts: SessionTimes & { user?: ClientUser }): void {
  if (sync(tab).user) amend(tab, key, facts)
}

/** How a session ends. */
export interface End {
  reason: EndReason
  /** The stores must be emptied. */
  full?: true | undefined
  /** The server must be told. */
  pending?: true
}

/** The end of the session with this key, or without a record. Without effect when another record is current. */
export function endSession(tab: Tab, key: string, end: End): void {
  const { token, owner, ...record } = sync(tab)
  if (record.key !== key || record.reason) return
  replace(tab, {
    key: key || `${Math.random()}`,
    at: Math.max(Date.now(), record.at),
    ...end,
    token: end.pending && token,
    owner: end.full ? undefined : owner
  })
}

/** Changes marks of the record with this key. */
export function amend(tab: Tab, key: string, marks: Partial<SessionRecord>): void {
  const record = sync(tab)
  if (record.key === key) replace(tab, { ...record, ...marks })
}

/** The server knows of the logout. */
export function acknowledge(tab: Tab, key: string): void {
  amend(tab, key, { pending: false, token: '' })
}

function replace(tab: Tab, record: SessionRecord): void {
  writeText(tab, JSON.stringify(record))
  apply(tab, record)
}

function apply(tab: Tab, next: SessionRecord): void {
  const previous = tab.record
  const { key, user, reason = 'logged_in_again' } = next
  // The same object for those who compare objects.
  if (previous.user && isSame(previous.user, user)) next.user = previous.user
  tab.record = next
  if (previous.key !== key || !user) tab.expects = false
  const isForeign = !!previous.owner && previous.owner !== next.owner
  const isEnd = !!previous.user && (isForeign || !user)
  if (isEnd) endOnPage(tab, reason)
  // With a newer login the `clear` option is not called: the shared stores may have new data.
  if ((isForeign || (next.full && previous.key !== key)) && (user || !tab.config.clear)) emptyTab(tab)
  show(tab)
  tab.follow?.(previous, isEnd)
}

/** Empties sessionStorage. Not allowed in a sandboxed frame: there is no data. */
function emptyTab({ page }: Tab): void {
  attempt(() => page.sessionStorage.clear())
}

function endOnPage(tab: Tab, reason: EndReason): void {
  abortCalls(tab)
  callAll(tab.onEnd, reason)
}

function show(tab: Tab): void {
  const { user, expiresAt, idleExpiresAt, reason = null } = tab.record
  const known = user ? { status: 'signed-in', user, expiresAt, idleExpiresAt } : { status: 'signed-out', reason }
  const snapshot = (tab.expects ? LOADING : known) as SessionSnapshot
  if (isSame(snapshot, tab.snapshot)) return
  tab.snapshot = snapshot
  callAll(tab.subscribers)
}

/** Aborts the calls of the session, bodies included. */
export function abortCalls(tab: Tab): void {
  tab.calls.abort()
  tab.calls = new AbortController()
}

function callAll(listeners: Set<(reason: EndReason) => void>, reason?: EndReason): void {
  for (const listener of listeners) {
    try {
      listener(reason as EndReason)
    } catch (error) {
      console.error(error)
    }
  }
}

function isSame(value: unknown, other: unknown): boolean {
  return JSON.stringify(value) === JSON.stringify(other)
}
