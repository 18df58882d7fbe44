import { call } from './calls.js'
import { arm, ask, check, judge } from './checks.js'
import { stopStream, wakeStream } from './event-stream.js'
import { adopt, deliverLogout, logIn, logOut } from './logins.js'
import { resolveOptions } from './options.js'
import { NO_RECORD, PREFIX } from './session-record.js'
import { abortCalls, expectAnswer, isPast, sync } from './session-state.js'
import { finishEnd } from './stores.js'
import { LOADING, type Tab } from './tab.js'
import type { ClientUser, Page, SessionClient, SessionClientOptions, SessionSnapshot } from './types.js'

/** Creates the client of one page. {@link SessionClient} describes the functions. */
export function createBrowserClient<User extends ClientUser>(
  page: Page | undefined,
  options: SessionClientOptions
): SessionClient<User> {
  const config = resolveOptions({ ...options })
  const tab: Tab = {
    page: page as Page,
    config,
    origin: config.baseUrl || (page?.location.origin as string),
    name: PREFIX + config.name,
    subscribers: new Set(),
    onEnd: new Set(),
    calls: new AbortController(),
    run: new AbortController(),
    retryAt: config.events ? 0 : 1e15,
    failures: -50,
    // The longest `heartbeatSeconds` of a server, until a heartbeat is measured.
    patience: 750_000,
    record: NO_RECORD,
    snapshot: LOADING
  }
  const close = page ? start(tab) : () => {}

  const added = <T>(set: Set<T>, item: T) => {
    set.add(item)
    return () => void set.delete(item)
  }

  return {
    login: (credentials) => logIn(tab, credentials),
    adopt: (answer) => adopt(tab, answer),
    logout: () => logOut(tab),
    extend: () => ask(tab, 'POST'),
    async fetch(path, init = {}) {
      const { key } = sync(tab)
      const { origin, href } = new URL(path, tab.origin)
      if (origin !== tab.origin) throw new TypeError(`The session is not for ${origin}`)
      const response = await call(tab, href, init)
      judge(tab, key, response).catch(() => {})
      return response
    },
    onEnd: (listener) => added(tab.onEnd, listener),
    subscribe: (listener) => added(tab.subscribers, listener),
    getSnapshot: () => tab.snapshot as SessionSnapshot<User>,
    getServerSnapshot: () => LOADING,
    close
  }
}

/** Follows the record, the events of the page, and the stream. @returns stops */
function start(tab: Tab): () => void {
  const { page, config } = tab
  const follow = () => {
    if (sync(tab).user ? wakeStream(tab) : tab.expects) check(tab)
  }
  const deliver = () => deliverLogout(tab).catch(() => {})
  const wake = ({ type, persisted }: Partial<PageTransitionEvent>) => {
    sync(tab)
    // A page with a lock or a stream does not get into the back/forward cache.
    if (type === 'pagehide') stopStream(tab)
    else if (type !== 'storage' && persisted !== false && (type === 'online' || !page.document.hidden)) {
      deliver()
      follow()
    }
  }

  tab.follow = (previous, isEnd) => {
    const { record } = tab
    if (previous.key !== record.key || isEnd) {
      stopStream(tab)
      follow()
      if (!record.user) void finishEnd(tab, record, isEnd)
    }
    arm(tab)
  }
  const record = sync(tab)
  // A redirect may have logged in another user: only the server knows whose cookie it is.
  expectAnswer(tab, !record.pending && (isPast(tab) || config.transport === 'cookie'))
  arm(tab)
  const open = new AbortController()
  for (const type of ['storage', 'online', 'visibilitychange', 'pagehide', 'pageshow']) {
    page.addEventListener(type, wake, open)
  }
  deliver()
  return () => {
    tab.follow = undefined
    open.abort()
    stopStream(tab)
    clearTimeout(tab.timer)
    abortCalls(tab)
  }
}
