import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'

// The only code with access to the token in requests and responses.

/** The part of a request with the token. */
type RequestHeaders = Pick<FastifyRequest, 'headers'>

const BEARER = 'bearer '

/** Values from pages without a token that send an empty variable in the header. */
const EMPTY_TOKENS = ['', 'null', 'undefined']

/** The request's token, from `Authorization: Bearer <token>`; null without a bearer token. */
export function readToken({ headers }: RequestHeaders): string | null {
  const { authorization = '' } = headers
  if (authorization.slice(0, BEARER.length).toLowerCase() !== BEARER) return null
  let start = BEARER.length
  while (authorization[start] === ' ') start++
  const token = authorization.slice(start)
  if (EMPTY_TOKENS.includes(token)) return null
  // A slice retains the whole header while the token is cached, perhaps with thousands of spaces.
  return start === BEARER.length ? token : Buffer.from(token, 'latin1').toString('latin1')
}

/** Response schemas for the fields of {@link writeToken}. */
export const tokenAnswerSchema = {
  access_token: Type.String({ description: 'Send it as `Authorization: Bearer <token>`' }),
  token_type: Type.Literal('Bearer')
}

/** The fields with the token in the response to a login. */
export function writeToken(token: string): { access_token: string; token_type: 'Bearer' } {
  return { access_token: token, token_type: 'Bearer' }
}
