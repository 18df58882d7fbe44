import type { FastifyRequest } from 'fastify'
import type { AccessTokenClaims, AccessTokens } from '../access-token.js'
import { readBearerToken } from '../verify-session.js'

/** The claims of the token that came with the request; null when there is none, or none that could name a live session. */
export function presentedClaims(request: FastifyRequest, accessTokens: AccessTokens): AccessTokenClaims | null {
  const token = readBearerToken(request)
  if (token === null) return null
  try {
    return accessTokens.verify(token)
  } catch {
    return null
  }
}
