import { StoreUnavailableError } from '../errors.js'
import type { Breaker, Outcome } from '../internal/circuit-breaker.js'
import { createDeadline, createTimeoutError, withDeadline } from '../internal/time-budget.js'
import { createUndo } from './end-abandoned.js'
import type { SessionStore } from './session-store.js'

/** A store that is over with each operation within a time, whatever becomes of it. */
export interface BoundedStore extends SessionStore {
  /**
   * The same store for one request: all that is asked of it, one thing after the other, is over within that time
   * together, of which so much has been spent already.
   */
  within(spentMs: number): BoundedStore
}

/** @throws {StoreUnavailableError} */
type Ask = <T>(operation: () => Promise<T>) => Promise<T>

/**
 * The store as everybody else sees it: each operation is over within `timeoutMs`, or at once while the store does not
 * answer, and whatever goes wrong is "could not ask", a {@link StoreUnavailableError}. A creation that was given up is
 * undone.
 */
export function createBoundedStore(store: SessionStore, timeoutMs: number, breaker: Breaker): BoundedStore {
  const inTime = createDeadline(timeoutMs)
  const undo = createUndo((id) => store.end(id, 'revoked'))

  async function ask<T>(operation: () => Promise<T>, leftMs = timeoutMs): Promise<T> {
    const isHurried = leftMs < timeoutMs
    const bounded = (work: Promise<T>) => (isHurried ? withDeadline(work, leftMs) : inTime(work))
    try {
      const work = () => bounded(Promise.resolve(operation()))
      return await breaker.run(work, (error) => outcomeOf(error, isHurried))
    } catch (error) {
      throw new StoreUnavailableError(error)
    }
  }

  function within(spentMs: number): BoundedStore {
    let leftMs = timeoutMs - spentMs
    const operations = operationsOf(store, undo, async (operation) => {
      if (leftMs <= 0) throw new StoreUnavailableError(createTimeoutError())
      const startedAt = performance.now()
      try {
        return await ask(operation, leftMs)
      } finally {
        leftMs -= performance.now() - startedAt
      }
    })
    const shared: BoundedStore = {
      ...operations,
      within(spentMs) {
        leftMs -= spentMs
        return shared
      }
    }
    return shared
  }

  return {
    ...operationsOf(store, undo, ask),
    ...(store.track && { track: store.track.bind(store) }),
    within
  }
}

function operationsOf(store: SessionStore, undo: ReturnType<typeof createUndo>, ask: Ask): SessionStore {
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
        void creation?.catch(() => {}).then(() => undo(id, lifeMs))
        throw error
      }
    },
    find: (id) => ask(() => store.find(id)),
    replace: (id, record, next, lifeMs) => ask(() => store.replace(id, record, next, lifeMs)),
    end: (id, reason) => ask(() => store.end(id, reason)),
    endAll: (tag, reason, exceptId) => ask(() => store.endAll(tag, reason, exceptId)),
    list: (tag) => ask(() => store.list(tag))
  }
}

/** Redis that says no has answered: it still may let others read. Given less time than others get, it may have been slow. */
function outcomeOf(error: unknown, isHurried: boolean): Outcome {
  // A store of somebody else may reject with anything.
  const { name, code } = (error ?? {}) as { name?: unknown; code?: unknown }
  if (name === 'ReplyError') return 'answered'
  return isHurried && code === 'ETIMEDOUT' ? 'given up' : 'failed'
}
