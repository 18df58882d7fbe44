import { type EndMessage, ends } from './channels.js'

/** What ends a session, see {@link EndMessage.by}. */
export type EndCause = EndMessage['by']

const REASONS: Record<EndCause, EndMessage['reason']> = {
  logout: 'logged_out',
  revoke: 'revoked',
  list: 'revoked',
  limit: 'replaced',
  login: 'logged_in_again'
}

/** The reason that the store stores for a session that ends by this cause. */
export function reasonOf(by: EndCause): EndMessage['reason'] {
  return REASONS[by]
}

/** Publishes ends of a user's sessions, acknowledged by the store. Callers check `ends.hasSubscribers` first. */
export function publishEnds(by: EndCause, userId: string | undefined, count = 1): void {
  for (let i = 0; i < count; i++) {
    ends.publish({ reason: REASONS[by], by, ...(userId !== undefined && { userId }) })
  }
}
