import { ENDED, type Fault, WORKS } from './fault.js'

const HOUR_MS = 3_600_000

const realNow = Date.now

/** Of this whole process. */
function setClock(aheadMs: number): void {
  Date.now = aheadMs === 0 ? realNow : () => realNow() + aheadMs
}

/**
 * The app's clock is not that of the app which made the sessions. Each of these wants the process for itself.
 * A token from a time to come is refused, but for 30 seconds.
 */
export const CLOCK_FAULTS: readonly Fault[] = [
  {
    name: 'clock an hour ahead',
    during: WORKS,
    madeMeanwhile: 401,
    options: { session: { idleTimeoutSeconds: 7_200 } },
    start: () => setClock(HOUR_MS),
    end: () => setClock(0)
  },
  {
    name: 'clock an hour ahead, past the idle timeout',
    during: ENDED,
    reason: 'expired',
    madeMeanwhile: 401,
    start: () => setClock(HOUR_MS),
    end: () => setClock(0)
  },
  {
    name: 'clock an hour behind',
    during: ENDED,
    cached: { verify: [200, 401], list: [200, 401], update: [200, 401] },
    reason: 'invalid_token',
    madeMeanwhile: 401,
    start: () => setClock(-HOUR_MS),
    end: () => setClock(0)
  }
]
