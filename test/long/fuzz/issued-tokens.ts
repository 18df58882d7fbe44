import type { FastifyInstance } from 'fastify'
import type { Session } from '../../../lib/index.js'

/** A token that the app has signed, and the session it names. */
export interface IssuedToken {
  token: string
  session: Session
  isLive: boolean
}

// Of different lengths, so that payloads end in each of the three ways of base64.
const USER_IDS = ['1', 'ada', 'grace hopper', '\u00fc\u00f1\u00ee', '\u{1f511}"\\', '__proto__', 'x'.repeat(256)]

/** Of each user two sessions that are live, and one that was logged out. */
export async function issueTokens({ sessions }: FastifyInstance): Promise<IssuedToken[]> {
  const issued: IssuedToken[] = []
  for (const id of USER_IDS) {
    for (const isLive of [true, true, false]) {
      const { token, session } = await sessions.create({ id })
      if (!isLive) await sessions.revoke(session.id)
      issued.push({ token, session, isLive })
    }
  }
  return issued
}
