import { splitSessionId } from '../model/session-id.js'
import type { BoundedStore } from '../store/guarded-store.js'
import type { SessionCache } from './session-cache.js'

/**
 * The store, with a cache that forgets a user while his sessions change: in this process nobody meets what was before,
 * neither behind the change on the way to the store nor when it was acknowledged. One that failed may have happened.
 */
export function createForgettingStore(store: BoundedStore, cache: SessionCache<unknown>): BoundedStore {
  async function change<T>(tag: string, changing: Promise<T>): Promise<T> {
    cache.forget(tag)
    try {
      return await changing
    } finally {
      cache.forget(tag)
    }
  }

  const tagOf = (id: string) => splitSessionId(id)[0]
  return {
    create: (id, record, lifeMs, limit) => change(tagOf(id), store.create(id, record, lifeMs, limit)),
    find: (id) => store.find(id),
    replace: (id, record, next, lifeMs) => change(tagOf(id), store.replace(id, record, next, lifeMs)),
    end: (id, reason) => change(tagOf(id), store.end(id, reason)),
    endAll: (tag, reason, exceptId) => change(tag, store.endAll(tag, reason, exceptId)),
    list: (tag) => store.list(tag),
    within: (spentMs) => createForgettingStore(store.within(spentMs), cache)
  }
}
