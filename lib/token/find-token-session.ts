import type { FastifyRequest } from 'fastify'
import type { AccessTokens } from './access-token.js'
import { readToken } from './transport.js'

/**
 * The session that the request's token names, live or not, and its absolute expiry in epoch milliseconds; null without a
 * token that was issued here.
 */
export function findTokenSession(
  request: Pick<FastifyRequest, 'headers'>,
  accessTokens: Pick<AccessTokens, 'findSession'>
): { id: string; expiresAt: number } | null {
  const token = readToken(request)
  return token === null ? null : accessTokens.findSession(token)
}
