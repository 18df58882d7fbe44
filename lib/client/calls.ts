import { LOGIN_MS, within } from './deadline.js'
import { sync } from './session-state.js'
import type { Tab } from './tab.js'

/** The URL of one of the plugin's routes. */
export function routeUrl(tab: Tab, route: string): string {
  return tab.origin + tab.config.prefix + route
}

/**
 * Sends a request with credentials. `Session-Client`: the server leaves `Clear-Site-Data` off the answer.
 *
 * @throws TypeError without an answer: the error of `fetch` does not name the usual causes
 */
export async function send(tab: Tab, url: string, init: RequestInit, token = sync(tab).token): Promise<Response> {
  const { page, config } = tab
  const headers = new Headers(init.headers)
  headers.set('session-client', '1')
  if (token) headers.set('authorization', `Bearer ${token}`)
  const credentials = config.transport === 'cookie' && { credentials: 'include' as const }
  try {
    return await page.fetch(url, { ...init, ...credentials, headers })
  } catch (error) {
    if (!(error instanceof TypeError)) throw error
    throw new TypeError(`No answer from ${tab.origin}: away, or no CORS`, { cause: error })
  }
}

/** Sends a request that no end of the session aborts to one of the plugin's routes. `init` is shown to the server as it is. */
export function post(tab: Tab, route: string, init: RequestInit, token?: string): Promise<Response> {
  const url = routeUrl(tab, route)
  return within(LOGIN_MS, (signal) => send(tab, url, { method: 'POST', ...init, signal }, token))
}

/**
 * Sends a request of the page's session. The request is aborted at the end of the session, its body included; at once
 * while a logout is pending.
 */
export async function call(tab: Tab, url: string, init: RequestInit): Promise<Response> {
  const controller = new AbortController()
  const abort = () => controller.abort()
  // Without AbortSignal.any(): Node 20 loses such signals.
  for (const signal of [tab.calls.signal, init.signal]) {
    if (signal?.aborted) abort()
    signal?.addEventListener('abort', abort)
  }
  if (sync(tab).pending) abort()
  return send(tab, url, { ...init, signal: controller.signal })
}
