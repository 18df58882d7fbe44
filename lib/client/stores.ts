import { STORES_MS, withLock } from './deadline.js'
import { PREFIX, type SessionRecord } from './session-record.js'
import { amend, sync } from './session-state.js'
import type { Tab } from './tab.js'
import type { EndReason } from './types.js'

/**
 * Empties what all pages share, as long as this record is current: localStorage, IndexedDB, Cache API. With the `clear`
 * option calls `clear` instead. A failure goes to the console.
 *
 * @returns whether all is done in 1 second. The browser deletes a database as soon as all connections to it are closed
 */
export async function emptyShared(tab: Tab, record: SessionRecord): Promise<unknown> {
  const { page, config } = tab
  const isCurrent = () => sync(tab).key === record.key
  const empty = async () => {
    const { localStorage, indexedDB, caches } = page
    for (const key of Object.keys(localStorage)) {
      if (isCurrent() && !key.startsWith(PREFIX) && !config.keep.includes(key)) localStorage.removeItem(key)
    }
    // Missing over plain HTTP, and in old browsers.
    for (const name of (await caches?.keys()) ?? []) if (isCurrent()) await caches.delete(name)
    for (const { name } of (await indexedDB.databases?.()) ?? []) {
      if (isCurrent()) indexedDB.deleteDatabase(name as string)
    }
  }
  const emptied = async () => {
    await (config.clear ?? empty)(record.reason as EndReason)
    return true
  }
  try {
    return await Promise.race([emptied(), new Promise((resolve) => setTimeout(resolve, STORES_MS))])
  } catch (error) {
    console.error(error)
  }
}

/**
 * After the snapshot of an end: empties the shared stores, then goes to the login. Each page that has shown the session
 * empties the stores, for its last writes may have come after another page did so.
 *
 * @param isEnd the page has shown the session
 */
export async function finishEnd(tab: Tab, record: SessionRecord, isEnd: boolean): Promise<void> {
  const { page, config } = tab
  const { key, full, owner } = record
  if (full || (isEnd && !owner)) {
    const empty = () => emptyShared(tab, record)
    // No code of the application runs under a lock.
    const isEmpty = await (config.clear ? empty() : withLock(tab, STORES_MS, empty))
    if (isEmpty) amend(tab, key, { full: false })
  }
  if (isEnd && config.loginUrl && sync(tab).key === key) page.location.replace(config.loginUrl)
}
