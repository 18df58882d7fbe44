import { clockOffset, timesOf } from './answers.js'
import { call, routeUrl } from './calls.js'
import { check } from './checks.js'
import { takeEvents } from './event-reader.js'
import { fieldsOf } from './session-record.js'
import { endSession, sync, updateSession } from './session-state.js'
import type { Tab } from './tab.js'
import type { EndReason } from './types.js'

/*
 * The event stream of the session. One page of the browser reads, the page with the Web Lock: six streams over HTTP/1.1
 * would block all further requests to the origin. A page takes the lock over when it is looked at: the reader may be
 * frozen. Where there are no Web Locks (plain HTTP) no page reads.
 */

/** Stops reading, and waiting for the lock. */
export function stopStream(tab: Tab): void {
  tab.run.abort()
  clearTimeout(tab.streamTimer)
}

/**
 * The page has a session, is looked at or online again: connects anew. An open connection may be of another session or
 * network, or lost.
 *
 * @returns whether the page must ask instead, because there is no stream
 */
export function wakeStream(tab: Tab): boolean {
  if (Date.now() < tab.retryAt) return true
  void start(tab, !tab.page.document.hidden)
  return false
}

/** @param steal also while another page has the lock */
async function start(tab: Tab, steal: boolean): Promise<void> {
  const { page, name } = tab
  stopStream(tab)
  tab.run = new AbortController()
  const { signal } = tab.run
  try {
    // The two options exclude each other.
    await page.navigator.locks.request(`${name}:events`, steal ? { steal } : { signal }, () => read(tab, signal))
  } catch (error) {
    if (signal.aborted) return
    // Taken over by another page.
    if ((error as Error).name === 'AbortError') void start(tab, false)
    else {
      // Without locks.
      tab.retryAt = 1e15
      check(tab)
    }
  }
}

async function read(tab: Tab, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    await connect(tab, signal)
    if (signal.aborted) return
    clearTimeout(tab.streamTimer)
    // Jitter: the server may have closed thousands of streams at once.
    const pause = Math.min(500 + 2 ** tab.failures++, 30_000) * (0.75 + Math.random() / 2)
    await new Promise<unknown>((resolve) => {
      signal.onabort = resolve
      tab.streamTimer = setTimeout(resolve, Math.max(tab.retryAt - Date.now(), pause))
    })
  }
}

/** Reads until the connection ends. Never rejects. */
async function connect(tab: Tab, signal: AbortSignal): Promise<void> {
  const { key } = sync(tab)
  expectSign(tab, 15_000)
  try {
    const response = await call(tab, routeUrl(tab, '/session/events'), { signal })
    const { status, headers, body } = response
    let heardAt = Date.now()
    const offset = clockOffset(tab, response)
    if (status !== 200 || !body) {
      // 404: the route is not enabled.
      tab.retryAt = heardAt + (status === 404 ? 300 : +(headers.get('retry-after') as string) || 0) * 1_000
      check(tab)
      return
    }
    expectSign(tab, tab.patience)
    const reader = body.getReader()
    for (let text = ''; ; ) {
      const { done, value } = await reader.read()
      if (done) return
      // Events of the server are ASCII.
      text = takeEvents(text + new TextDecoder().decode(value), (name, data) => {
        const fields = fieldsOf(data)
        const times = timesOf(fields, offset)
        const reason = fields.reason as EndReason
        // After `logged_in_again` the browser has the next session already: a new connection tells what holds.
        if (name === 'ended' && reason !== 'logged_in_again') endSession(tab, key, { reason, full: true })
        if (name === 'session' && times) updateSession(tab, key, times)
        if (name || signal.aborted) return
        tab.patience = 2.5 * (Date.now() - heardAt)
        heardAt = Date.now()
        tab.failures = -50
        expectSign(tab, tab.patience)
      })
    }
  } catch {
    // No network, no server, or stopped.
  }
}

/** Connects anew when there is no sign of the server in time. */
function expectSign(tab: Tab, ms: number): void {
  clearTimeout(tab.streamTimer)
  tab.streamTimer = setTimeout(start, ms, tab, true)
}
