import { ENDED, type Fault, WORKS } from './fault.js'

const MINUTE_MS = 60_000
const HOUR_MS = 3_600_000

const realNow = Date.now

/** Sets the clock of the whole process. */
function setClock(aheadMs: number): void {
  Date.now = aheadMs === 0 ? realNow : () => realNow() + aheadMs
}

/**
 * Wrong clocks of an app. The sessions come from an app with the right clock. Each fault needs the process alone.
 * A clock that is ahead reports an idle expiry early and changes no record; a clock that is behind ends no session.
 */
export const CLOCK_FAULTS: readonly Fault[] = [
  {
    name: 'clock an hour ahead',
    during: WORKS,
    options: { session: { idleTimeoutSeconds: 7_200 } },
    start: () => setClock(HOUR_MS),
    end: () => setClock(0)
  },
  {
    name: 'clock an hour ahead, past the idle timeout',
    during: ENDED,
    reason: 'expired',
    start: () => setClock(HOUR_MS),
    end: () => setClock(0)
  },
  {
    name: 'clock a minute behind',
    during: WORKS,
    start: () => setClock(-MINUTE_MS),
    end: () => setClock(0)
  },
  {
    name: 'clock an hour behind',
    during: WORKS,
    options: { session: { idleTimeoutSeconds: 7_200 } },
    start: () => setClock(-HOUR_MS),
    end: () => setClock(0)
  },
  {
    // For other instances the last activity of a new session is an hour ago.
    name: 'clock an hour behind, past the idle timeout',
    during: WORKS,
    madeMeanwhile: 401,
    start: () => setClock(-HOUR_MS),
    end: () => setClock(0)
  }
]
