import { withDeadline } from '../deadline.js'
import { StoreUnavailableError } from '../errors.js'
import type { SessionStore } from './session-store.js'

/**
 * The store as everybody else sees it: each operation is over within `timeoutMs`, and whatever goes wrong is "could not
 * ask", a {@link StoreUnavailableError}. A creation that was given up is undone.
 */
export function createBoundedStore(store: SessionStore, timeoutMs: number): SessionStore {
  async function ask<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await withDeadline(Promise.resolve(operation()), timeoutMs)
    } catch (error) {
      throw new StoreUnavailableError(error)
    }
  }

  return {
    async create(id, record, lifeMs, limit) {
      let creation: Promise<boolean> | undefined
      try {
        return await ask(() => {
          creation = store.create(id, record, lifeMs, limit)
          return creation
        })
      } catch (error) {
        // It may still be written: it is ended as soon as its fate is known.
        void Promise.allSettled([creation])
          .then(() => store.end(id, 'revoked'))
          .catch(() => {})
        throw error
      }
    },
    find: (id) => ask(() => store.find(id)),
    replace: (id, record, next, lifeMs) => ask(() => store.replace(id, record, next, lifeMs)),
    end: (id, reason) => ask(() => store.end(id, reason)),
    endAll: (tag, reason, exceptId) => ask(() => store.endAll(tag, reason, exceptId)),
    list: (tag) => ask(() => store.list(tag)),
    ...(store.track && { track: store.track.bind(store) })
  }
}
