import { splitSessionId } from '../model/session-id.js'
import type { GuardedStore } from '../store/guarded-store.js'
import type { SessionCache } from './session-cache.js'

/**
 * The store, with a cache that forgets a user before and after each change of the user's sessions. So no request in
 * this process reads an outdated entry, neither during the change nor after its acknowledgement. A failed change counts
 * too, because the store may have made the change.
 */
export function createInvalidatingStore(
  store: GuardedStore,
  cache: Pick<SessionCache<unknown>, 'forget'>
): GuardedStore {
  async function change<T>(tag: string, pending: Promise<T>): Promise<T> {
    cache.forget(tag)
    try {
      return await pending
    } finally {
      cache.forget(tag)
    }
  }

  return {
    newBudget: () => store.newBudget(),
    create: (id, record, options, budget) => change(tagOf(id), store.create(id, record, options, budget)),
    find: (id, budget) => store.find(id, budget),
    replace: (id, record, next, budget) => change(tagOf(id), store.replace(id, record, next, budget)),
    end: (id, reason, budget) => change(tagOf(id), store.end(id, reason, budget)),
    endAll: (tag, reason, exceptId, budget) => change(tag, store.endAll(tag, reason, exceptId, budget)),
    list: (tag, budget) => store.list(tag, budget),
    endLater(id, reason, until) {
      store.endLater(id, reason, until)
      // The store notifies the cache again when the session has ended.
      cache.forget(tagOf(id))
    },
    isReady: () => store.isReady(),
    downtimeOf: (tag, now) => store.downtimeOf(tag, now)
  }
}

const tagOf = (id: string) => splitSessionId(id)[0]
