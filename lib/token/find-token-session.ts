import type { FastifyRequest } from 'fastify'
import type { AccessTokens } from './access-token.js'
import { readToken } from './transport.js'

/**
 * Finds the session of the request's token: the id, and the absolute expiry in epoch milliseconds. The session may have
 * ended. Null without a token signed by this application.
 */
export function findTokenSession(
  request: Pick<FastifyRequest, 'headers'>,
  accessTokens: Pick<AccessTokens, 'findSession'>
): { id: string; expiresAt: number } | null {
  const token = readToken(request)
  return token === null ? null : accessTokens.findSession(token)
}
