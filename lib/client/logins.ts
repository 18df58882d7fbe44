import { jsonOf } from './answers.js'
import { post } from './calls.js'
import { LOGIN_MS, STORES_MS, withLock } from './deadline.js'
import {
  abortCalls,
  acknowledge,
  endSession,
  leaveSession,
  type OpenedSession,
  openSession,
  sync
} from './session-state.js'
import { emptyShared } from './stores.js'
import type { Tab } from './tab.js'
import type { LoginAnswer } from './types.js'

/**
 * Makes a session the session of all pages.
 *
 * @param key of the only record that may be replaced. Default: each record may
 * @returns the token of the session that is replaced
 */
export function openLogin(tab: Tab, session: OpenedSession, key?: string): Promise<string | undefined> {
  return withLock(tab, STORES_MS, async () => {
    const record = sync(tab)
    const { full, owner, token } = record
    if ((key ?? record.key) !== record.key) return undefined
    if (full || (owner && owner !== session.user.id)) {
      leaveSession(tab)
      await emptyShared(tab, tab.record)
    }
    openSession(tab, session)
    return token
  })
}

/**
 * Takes over the answer to a login.
 *
 * @param sentToken the token that the login was sent with: the server has ended that session
 * @throws TypeError when the answer is not one of this transport
 */
export async function adopt(tab: Tab, answer: object, sentToken?: string): Promise<void> {
  const { user, access_token: token, expires_in } = answer as LoginAnswer
  const { transport } = tab.config
  if (!user || !token === (transport === 'bearer')) throw new TypeError(`This is no ${transport} login`)
  const expiresAt = Date.now() + expires_in * 1_000
  const replaced = await openLogin(tab, { user, token, expiresAt, idleExpiresAt: null })
  // Another page has logged in meanwhile, or another route has: a session without a page is ended.
  if (replaced && replaced !== sentToken) post(tab, '/logout', {}, replaced).catch(() => {})
}

function underLock<T>(tab: Tab, task: () => Promise<T>): Promise<T> {
  return tab.config.transport === 'cookie' ? withLock(tab, LOGIN_MS, task) : task()
}

/** Sends the credentials. Before, a pending logout must be acknowledged. */
export async function logIn(tab: Tab, credentials: unknown): Promise<Response> {
  const refusal = await deliverLogout(tab)
  if (sync(tab).pending) return refusal as Response
  abortCalls(tab)
  return underLock(tab, async () => {
    const { token } = sync(tab)
    const headers = { 'content-type': 'application/json' }
    const response = await post(tab, '/login', { headers, body: JSON.stringify(credentials) })
    if (response.ok) await adopt(tab, await jsonOf(response), token)
    return response
  })
}

/** Ends the session in all pages, then on the server. Never rejects. @returns whether the server has acknowledged */
export async function logOut(tab: Tab): Promise<boolean> {
  // A cookie may be there without a record.
  endSession(tab, sync(tab).key, { reason: 'logged_out', full: true, pending: true })
  await deliverLogout(tab).catch(() => {})
  return !sync(tab).pending
}

/** Sends the pending logout, if there is one. @returns the answer */
export async function deliverLogout(tab: Tab): Promise<Response | undefined> {
  return underLock(tab, async () => {
    const { key, pending } = sync(tab)
    // While this page waited for the lock, another page has told the server and logged in: that cookie must stay.
    if (!pending) return undefined
    // Also while the page is left.
    const response = await post(tab, '/logout', { keepalive: true })
    const { status } = response
    // A refusal that would come again is an answer too: it must not keep the user from the next login.
    if (status < 500 && status !== 429) acknowledge(tab, key)
    return response
  })
}
