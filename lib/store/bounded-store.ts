import type { Breaker, Outcome } from '../breaker.js'
import { createDeadline } from '../deadline.js'
import { StoreUnavailableError } from '../errors.js'
import type { SessionStore } from './session-store.js'

/**
 * The store as everybody else sees it: each operation is over within `timeoutMs`, or at once while the store does not
 * answer, and whatever goes wrong is "could not ask", a {@link StoreUnavailableError}. A creation that was given up is
 * undone.
 */
export function createBoundedStore(store: SessionStore, timeoutMs: number, breaker: Breaker): SessionStore {
  const withDeadline = createDeadline(timeoutMs)

  async function ask<T>(operation: () => Promise<T>): Promise<T> {
    try {
      return await breaker.run(() => withDeadline(Promise.resolve(operation())), outcomeOf)
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
        void creation
          ?.catch(() => {})
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

/** Redis that says no has answered: it still may let others read. */
function outcomeOf(error: unknown): Outcome {
  return error instanceof Error && error.name === 'ReplyError' ? 'answered' : 'failed'
}
