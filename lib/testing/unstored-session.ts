import type { Internals } from '../live/internals.js'
import { createOpenSession } from '../login/open-session.js'

/** Creates the function that makes sessions with good tokens which no store knows. */
export function createUnstoredSession(internals: Internals): ReturnType<typeof createOpenSession> {
  const { store } = internals
  return createOpenSession({
    ...internals,
    store: {
      newBudget: () => store.newBudget(),
      create: async () => 'created',
      list: (...args) => store.list(...args),
      end: (...args) => store.end(...args)
    }
  })
}
