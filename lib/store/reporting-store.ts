import { sessionTag } from '../model/session-id.js'
import type { ChangeFeed } from './change-feed.js'
import type { GuardedStore } from './guarded-store.js'

/**
 * The store, with a report to the feed before and after each change of a user's sessions. So no request in this process
 * reads an outdated entry of the cache, neither during the change nor after its acknowledgement. A failed change is
 * reported too, because the store may have made the change.
 */
export function createReportingStore(
  store: GuardedStore,
  feed: Pick<ChangeFeed, 'changing' | 'changed'>
): GuardedStore {
  function change<T>(tag: string, pending: Promise<T>): Promise<T> {
    feed.changing(tag)
    const changed = () => feed.changed(tag)
    // Before the caller goes on. Not `finally()`, which costs three more turns of the microtask queue.
    pending.then(changed, changed)
    return pending
  }

  return {
    newBudget: () => store.newBudget(),
    create: (id, record, options, budget) => change(sessionTag(id), store.create(id, record, options, budget)),
    find: (id, budget) => store.find(id, budget),
    replace: (id, record, next, budget) => change(sessionTag(id), store.replace(id, record, next, budget)),
    end: (id, reason, budget) => change(sessionTag(id), store.end(id, reason, budget)),
    endAll: (tag, reason, exceptId, budget) => change(tag, store.endAll(tag, reason, exceptId, budget)),
    list: (tag, budget) => store.list(tag, budget),
    readTokens: (id, budget) => store.readTokens(id, budget),
    // Without a report: no cache has the tokens.
    writeTokens: (id, tokens, previous, budget) => store.writeTokens(id, tokens, previous, budget),
    endLater(id, reason, until) {
      store.endLater(id, reason, until)
      // The tracking reports the change again when the session has ended.
      feed.changing(sessionTag(id))
    },
    isReady: () => store.isReady(),
    downtimeOf: (tag, now) => store.downtimeOf(tag, now),
    circuit: store.circuit
  }
}
