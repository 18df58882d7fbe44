import { isUtf8 } from 'node:buffer'
import fastifyJwt, { type JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import { InvalidClaimsError, SessionEndedError } from '../errors.js'
import { cloneJson, isPlainObject } from '../internal/json.js'
import { TokenMap } from '../internal/token-lru.js'
import type { Session } from '../model/session.js'
import { isSessionId } from '../model/session-id.js'
import { isUserId } from '../model/user.js'
import type { ResolvedOptions } from '../options/resolve-options.js'

/** What a valid token says: which session, and whose; and until when it says so, in milliseconds since 1970. */
export interface AccessTokenClaims {
  sessionId: string
  userId: string
  expiresAt: number
}

/** What a token says of itself, not checked yet. */
type RegisteredClaims = Record<'sub' | 'jti' | 'iat' | 'exp' | 'nbf' | 'iss' | 'aud', unknown>

/** Makes access tokens, and reads them. */
export interface AccessTokens {
  /**
   * A token that names the session and ends with it.
   * @throws {InvalidClaimsError} `jwt.claims` is at fault
   */
  sign(session: Session): string
  /**
   * What the token claims: every claim checked, and none before the signature (OWASP ASVS 9.1.1).
   * @throws {SessionEndedError} `expired` for a token of ours at or past its `exp`, else `invalid_token`
   */
  verify(token: string): AccessTokenClaims
  /**
   * The session that a token of ours names, whatever else it claims; null for any other token. For ending a session,
   * which must not fail because clocks or options of two instances differ.
   */
  findSessionId(token: string): string | null
}

const HEADER = { alg: 'HS256', typ: 'at+jwt' } as const
const MAX_TOKEN_LENGTH = 8_192
const MAX_OPENED = 10_000
const MAX_CLOCK_SKEW_SECONDS = 30

/**
 * The exact spelling of a token of ours. The header is the one that sign() writes, to the byte: no other algorithm or
 * type, no `crit` and no key reference is ever read (RFC 8725 3.1, 3.11). Base64url has one spelling only, whole groups
 * of four or an end without stray bits (RFC 4648 3.5), so a 32-byte MAC ends in one of sixteen characters.
 */
const TOKEN = new RegExp(
  `^${Buffer.from(JSON.stringify(HEADER)).toString('base64url')}` +
    String.raw`\.((?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?)` +
    String.raw`\.[\w-]{42}[AEIMQUYcgkosw048]$`
)

/** Signs with the first secret and verifies with each of them, so that a secret can be replaced without a logout. */
export async function createAccessTokens(
  fastify: FastifyInstance,
  { jwt: { secrets, issuer, audience, claims }, session: { ttlSeconds } }: Pick<ResolvedOptions, 'jwt' | 'session'>
): Promise<AccessTokens> {
  const keys = await registerKeys(fastify, secrets)

  /** What tokens say whose signature has been found good. A secret holds as long as the app runs. */
  const opened = new TokenMap<RegisteredClaims>(MAX_OPENED)

  /** What a token says that is spelled like ours and signed with one of the secrets, or null. */
  function openToken(token: string): RegisteredClaims | null {
    const known = opened.get(token)
    if (known !== undefined) return known
    const payload = readToken(token)
    if (payload === null) return null
    const { sub, jti, iat, exp, nbf, iss, aud } = payload
    const claims = { sub, jti, iat, exp, nbf, iss, aud }
    opened.set(token, claims)
    return claims
  }

  function readToken(token: string): Record<string, unknown> | null {
    const encodedPayload = token.length <= MAX_TOKEN_LENGTH ? TOKEN.exec(token)?.[1] : undefined
    if (encodedPayload === undefined) return null
    for (const key of keys) {
      try {
        const payload: unknown = key.verify(token)
        // Malformed UTF-8 reads as U+FFFD, so two different payloads could look alike (RFC 7515 5.2).
        return isPlainObject(payload) && isUtf8(Buffer.from(encodedPayload, 'base64url')) ? payload : null
      } catch {
        // Another secret may have signed it. Why this one did not is nobody's business.
      }
    }
    return null
  }

  function readClaims({ sub, jti, iat, exp, nbf, iss, aud }: RegisteredClaims): AccessTokenClaims {
    const now = Date.now() / 1_000
    const hasRequiredClaims = isUserId(sub) && isSessionId(jti) && isFiniteNumber(iat) && isFiniteNumber(exp)
    if (!hasRequiredClaims || iat > now + MAX_CLOCK_SKEW_SECONDS || exp - iat > ttlSeconds) throw invalidToken()
    if (nbf !== undefined && !(isFiniteNumber(nbf) && nbf <= now)) throw invalidToken()
    if (issuer !== undefined && iss !== issuer) throw invalidToken()
    if (audience !== undefined && aud !== audience) throw invalidToken()
    if (exp <= now) throw new SessionEndedError('expired')
    return { sessionId: jti, userId: sub, expiresAt: exp * 1_000 }
  }

  return {
    sign({ id, user, expiresAt }) {
      // Whole seconds, rounded up: the record knows the millisecond. So `iat` may be up to a second ahead.
      const exp = Math.ceil(expiresAt / 1_000)
      const registered = {
        iss: issuer,
        sub: user.id,
        aud: audience,
        exp,
        nbf: undefined,
        iat: exp - ttlSeconds,
        jti: id
      }
      try {
        const result = claims(structuredClone(user))
        // As JSON will have it: a toJSON() among them must not rewrite the registered claims.
        const extra = isPlainObject(result) ? cloneJson(result) : undefined
        if (!isPlainObject(extra)) throw new TypeError('Not an object')
        const token = keys[0].sign({ ...extra, ...registered })
        if (token.length > MAX_TOKEN_LENGTH) throw new RangeError('Too long')
        return token
      } catch (error) {
        throw new InvalidClaimsError(error)
      }
    },

    verify(token) {
      const payload = openToken(token)
      if (payload === null) throw invalidToken()
      return readClaims(payload)
    },

    findSessionId(token) {
      const sessionId = openToken(token)?.jti
      return isSessionId(sessionId) ? sessionId : null
    }
  }
}

/**
 * One registration of @fastify/jwt for each secret, in a scope of its own: neither the host's `app.jwt` nor another
 * registration of this plugin sees it. Times are left to readClaims(), the only place that knows the rules.
 */
async function registerKeys(fastify: FastifyInstance, secrets: readonly Buffer[]): Promise<[JWT, ...JWT[]]> {
  const keys: Record<string, JWT> = {}
  await fastify.register(async (scope) => {
    scope.decorate('jwt', keys as unknown as JWT)
    for (const [index, secret] of secrets.entries()) {
      await scope.register(fastifyJwt, {
        namespace: `fastifyJwtSession${index}`,
        secret,
        sign: { algorithm: HEADER.alg, header: HEADER },
        verify: { algorithms: [HEADER.alg], ignoreExpiration: true, ignoreNotBefore: true }
      })
    }
  })
  return Object.values(keys) as [JWT, ...JWT[]]
}

function invalidToken(): SessionEndedError {
  return new SessionEndedError('invalid_token')
}

function isFiniteNumber(value: unknown): value is number {
  return Number.isFinite(value)
}
