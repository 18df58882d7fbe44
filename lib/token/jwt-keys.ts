import fastifyJwt, { type FastifyJWTOptions, type JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import { cloneJson, isPlainObject } from '../internal/json.js'

// The only code that knows @fastify/jwt.

export type { JWT }

/** A key of @fastify/jwt, with the options of its signatures. */
export type JwtKey = Pick<FastifyJWTOptions, 'secret' | 'sign' | 'verify'>

/**
 * Registers @fastify/jwt once per key, in a hidden scope: neither `app.jwt` of the host nor another registration of this
 * plugin has access.
 */
export async function registerKeys(fastify: FastifyInstance, keys: readonly JwtKey[]): Promise<[JWT, ...JWT[]]> {
  const registered: Record<string, JWT> = {}
  await fastify.register(async (scope) => {
    // With `namespace`, @fastify/jwt adds each key to this object.
    scope.decorate('jwt', registered as unknown as JWT)
    for (const [index, key] of keys.entries()) {
      await scope.register(fastifyJwt, { ...key, namespace: `fastifyJwtSession${index}` })
    }
  })
  return Object.values(registered) as [JWT, ...JWT[]]
}

/**
 * Copies the application's own claims as JSON: a toJSON() must not rewrite the registered claims.
 *
 * @throws TypeError not an object
 */
export function copyClaims(claims: unknown): Record<string, unknown> {
  const copy = isPlainObject(claims) ? cloneJson(claims) : undefined
  if (!isPlainObject(copy)) throw new TypeError('Not an object')
  return copy
}
