import type { FastifyRequest } from 'fastify'

const BEARER = 'bearer '

/** Values from pages without a token that send an empty variable in the header. */
const EMPTY_TOKENS = ['', 'null', 'undefined']

/** The token of `Authorization: Bearer <token>`; null without a bearer token. */
export function readBearer({ headers }: Pick<FastifyRequest, 'headers'>): string | null {
  const { authorization = '' } = headers
  if (authorization.slice(0, BEARER.length).toLowerCase() !== BEARER) return null
  let start = BEARER.length
  while (authorization[start] === ' ') start++
  const token = authorization.slice(start)
  return EMPTY_TOKENS.includes(token) ? null : token
}
