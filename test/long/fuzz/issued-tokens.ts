import type { FastifyInstance } from 'fastify'
import type { Session } from '../../../lib/index.js'

/** A token that the app has signed, and the session of the token. */
export interface IssuedToken {
  token: string
  session: Session
  isLive: boolean
}

// Different lengths, so that payloads have all three kinds of base64 endings.
const USER_IDS = ['1', 'ada', 'grace hopper', '\u00fc\u00f1\u00ee', '\u{1f511}"\\', '__proto__', 'x'.repeat(256)]

/** Opens two live sessions and a revoked session for each user. */
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
