import type { Internals } from '../live/internals.js'
import { createOpenSession } from '../login/open-session.js'

/** Creates the function that makes sessions with good tokens which no store knows. */
export function createUnstoredSession(internals: Internals): ReturnType<typeof createOpenSession> {
  return createOpenSession({ ...internals, store: { ...internals.store, create: async () => 'created' } })
}
