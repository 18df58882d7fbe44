import type { SessionStore } from './session-store.js'

/**
 * The store, in which a session has ended only when replicas know it too, so that it does not come back when one of them
 * becomes the master.
 *
 * @param waiting the same sessions, ended by writes that wait for replicas
 */
export function createReplicatedStore(
  store: SessionStore,
  waiting: Pick<SessionStore, 'end' | 'endAll'>
): SessionStore {
  return {
    ...store,
    // Twice: at once, as if nobody waited; then where it is waited for, on the master of then, whichever that is.
    async end(id, reason) {
      await store.end(id, reason)
      await waiting.end(id, reason)
    },
    async endAll(tag, reason, exceptId) {
      await store.endAll(tag, reason, exceptId)
      await waiting.endAll(tag, reason, exceptId)
    }
  }
}
