import type { FastifyRequest } from 'fastify'
import type { AccessTokens } from '../token/access-token.js'
import { readBearerToken } from '../token/transport.js'

/** The id of the session that the request came with, live or not; null without a token of ours. */
export function presentedSessionId(request: FastifyRequest, accessTokens: AccessTokens): string | null {
  const token = readBearerToken(request.headers.authorization)
  return token === null ? null : accessTokens.findSessionId(token)
}
