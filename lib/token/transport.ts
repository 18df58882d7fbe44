import type { FastifyRequest } from 'fastify'
import { Type } from 'typebox'

// The only place that reads a token from a request, or writes it into an answer.

/** What is read of a request. */
type RequestHeaders = Pick<FastifyRequest, 'headers'>

const BEARER = 'bearer '

/** What a page sends that has no token and puts the variable into the header all the same. */
const NO_TOKENS = ['', 'null', 'undefined']

/** The token of `Authorization: Bearer <token>`, or null when the request has no credentials of this scheme. */
export function readToken({ headers }: RequestHeaders): string | null {
  const { authorization = '' } = headers
  if (authorization.slice(0, BEARER.length).toLowerCase() !== BEARER) return null
  let start = BEARER.length
  while (authorization[start] === ' ') start++
  const token = authorization.slice(start)
  if (NO_TOKENS.includes(token)) return null
  // A part of a string keeps the whole string in memory, as long as the token is cached: here thousands of spaces, maybe.
  return start === BEARER.length ? token : Buffer.from(token, 'latin1').toString('latin1')
}

/** The fields of a login's answer that hand over the token, and their schemas. */
export const tokenAnswerSchema = {
  access_token: Type.String({ description: 'Send it as `Authorization: Bearer <token>`' }),
  token_type: Type.Literal('Bearer')
}

/** The fields of a login's answer that hand over the token. */
export function writeToken(token: string): { access_token: string; token_type: 'Bearer' } {
  return { access_token: token, token_type: 'Bearer' }
}
