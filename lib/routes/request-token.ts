import type { FastifyRequest } from 'fastify'
import type { AccessTokens } from '../token/access-token.js'
import { readBearerToken } from '../token/transport.js'

/**
 * The session that the request's token names, live or not, and its absolute expiry in epoch milliseconds; null without a
 * token that was issued here.
 */
export function sessionOfToken(
  request: FastifyRequest,
  accessTokens: AccessTokens
): { id: string; expiresAt: number } | null {
  const token = readBearerToken(request.headers.authorization)
  return token === null ? null : accessTokens.findSession(token)
}
