import { splitSessionId } from '../model/session-id.js'
import type { GuardedStore } from '../store/guarded-store.js'
import type { SessionCache } from './session-cache.js'

/**
 * The store, with a cache that forgets a user while the user's sessions change. In this process no request meets what was
 * before: neither while the change is on its way to the store nor when it was acknowledged. A change that failed may have
 * happened.
 */
export function createInvalidatingStore(
  store: GuardedStore,
  cache: Pick<SessionCache<unknown>, 'forget'>
): GuardedStore {
  async function change<T>(tag: string, changing: Promise<T>): Promise<T> {
    cache.forget(tag)
    try {
      return await changing
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
      // The store notifies of the end itself, once it has happened.
      cache.forget(tagOf(id))
    },
    isReady: () => store.isReady(),
    downtimeOf: (tag, now) => store.downtimeOf(tag, now)
  }
}

const tagOf = (id: string) => splitSessionId(id)[0]
