import { clockOffset, jsonOf, timesOf } from './answers.js'
import { call, routeUrl } from './calls.js'
import { within } from './deadline.js'
import { openLogin } from './logins.js'
import { firstExpiry, type SessionTimes } from './session-record.js'
import { endSession, expectAnswer, isPast, sync, updateSession } from './session-state.js'
import type { Tab } from './tab.js'
import type { ClientUser, EndReason } from './types.js'

/**
 * Follows what an answer says about the session with this key, under which its call was sent. `Session-Ended` alone
 * empties the stores. The 401 of another part of the application says nothing.
 *
 * @param isOwn whether the client sent the call
 * @returns whether the answer says something
 */
export async function judge(tab: Tab, key: string, response: Response, isOwn?: boolean): Promise<boolean> {
  const signal = response.headers.get('session-ended')
  if (signal) endSession(tab, key, { reason: signal as EndReason, full: true })
  if (signal || response.status !== 401) return !!signal
  const { code, reason } = await jsonOf(response)
  // Missing is a cookie that the user has deleted. At the end of its session a cookie goes too: ask() ends the session.
  const end = {
    FST_JWT_SESSION_ENDED: reason,
    FST_JWT_SESSION_LOGIN_NEEDED: 'login_needed',
    FST_JWT_SESSION_MISSING: isOwn && !sync(tab).token && !isPast(tab) && 'unknown'
  }[code as string]
  // A login of this browser has replaced the session, and its answer may be under way.
  if (end === 'logged_in_again' && !isOwn) check(tab)
  else if (end && key) endSession(tab, key, { reason: end as EndReason })
  return !!end
}

/** Asks about the session, and takes over what the answer says. Without an answer ends a session that is past its end. */
export async function ask(tab: Tab, method: string): Promise<Response> {
  const { key, user } = sync(tab)
  let response: Response | undefined
  let isClear = false
  try {
    response = await within(5_000, (signal) => call(tab, routeUrl(tab, '/session'), { method, signal }))
    const offset = clockOffset(tab, response)
    const fields = await jsonOf(response)
    const times = timesOf(fields, offset)
    const session = { user: fields.user as ClientUser, ...(times as SessionTimes) }
    isClear = (await judge(tab, key, response, true)) || !!times
    // An answer that comes after the end of the session opens none.
    if (times && !user === !sync(tab).user) {
      if (sync(tab).user?.id === session.user.id) updateSession(tab, key, session)
      // A login by redirect.
      else await openLogin(tab, session, key)
    }
    return response
  } finally {
    const record = sync(tab)
    // While the server cannot reach its store the idle timeout stands still, the absolute expiry does not.
    const end = response ? record.expiresAt : firstExpiry(record)
    if (isClear || (key && !isPast(tab))) expectAnswer(tab, false)
    else if (Date.now() >= (end as number)) endSession(tab, key, { reason: 'expired', full: true })
    arm(tab, isClear ? 500 : 5_000)
  }
}

/** Asks what holds. Never rejects. */
export function check(tab: Tab): void {
  ask(tab, 'GET').catch(() => {})
}

/**
 * Sets the timer for the next check: at the known end of the session; when that has passed, or the page is loading, after a
 * pause. Timers over 2^31 milliseconds fire at once.
 */
export function arm(tab: Tab, pause = 0): void {
  clearTimeout(tab.timer)
  const left = firstExpiry(sync(tab)) - Date.now()
  const delay = tab.expects || left <= 0 ? pause : Math.min(left, 2_000_000_000)
  if (delay >= 0 && tab.follow) tab.timer = setTimeout(check, delay, tab)
}
