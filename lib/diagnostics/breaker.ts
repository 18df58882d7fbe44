import { type BreakerMessage, breakers } from './channels.js'

/** Publishes that a circuit has opened or closed. */
export function publishBreaker(of: BreakerMessage['of'], isOpen: boolean): void {
  if (breakers.hasSubscribers) breakers.publish({ of, state: isOpen ? 'open' : 'closed' })
}
