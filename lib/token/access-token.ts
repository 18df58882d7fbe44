import { isUtf8 } from 'node:buffer'
import fastifyJwt, { type JWT } from '@fastify/jwt'
import type { FastifyInstance } from 'fastify'
import { InvalidClaimsError, SessionEndedError } from '../errors.js'
import { cloneJson, isPlainObject } from '../internal/json.js'
import { TokenMap } from '../internal/token-lru.js'
import type { Session, User } from '../model/session.js'
import { isSessionId } from '../model/session-id.js'
import { isUserId } from '../model/user.js'
import { encodedPayloadOf, HEADER, MAX_TOKEN_LENGTH } from './token-format.js'

/** What a valid token claims. */
export interface AccessTokenClaims {
  sessionId: string
  userId: string
  /** Epoch seconds: that of the session, see {@link expOf}. */
  exp: number
}

/** What a token claims of itself, not checked yet. */
type RegisteredClaims = Record<'sub' | 'jti' | 'iat' | 'exp' | 'nbf' | 'iss' | 'aud', unknown>

/** Makes access tokens, and reads them. */
export interface AccessTokens {
  /**
   * A token that names the session and ends with it.
   * @throws {InvalidClaimsError} `jwt.claims` is at fault
   */
  sign(session: Session): string
  /**
   * What the token claims: every claim checked, and none before the signature (OWASP ASVS 9.1.1). `iat` is not compared
   * with the clock, nor the lifetime with the option: the session is what ends.
   * @throws {SessionEndedError} `expired` for a token issued here at or past its `exp`, else `invalid_token`
   */
  verify(token: string): AccessTokenClaims
  /**
   * The session that a token issued here names, and its absolute expiry in epoch milliseconds, whatever else the token
   * claims; null for any other token. For ending a session, which must not fail because clocks or options of two
   * instances differ.
   */
  findSession(token: string): { id: string; expiresAt: number } | null
}

/**
 * `exp` of the tokens of a session, in epoch seconds. Whole seconds, rounded up: a token is good as long as its session,
 * which ends at a millisecond.
 */
export function expOf({ expiresAt }: Pick<Session, 'expiresAt'>): number {
  return Math.ceil(expiresAt / 1_000)
}

const MAX_OPENED = 10_000

/** How tokens are signed, and what they have to claim. */
export interface AccessTokenConfig {
  /** The first signs, each verifies. */
  secrets: readonly Buffer[]
  issuer: string | undefined
  audience: string | undefined
  /** The application's own claims. */
  claims(user: User): Record<string, unknown>
}

/** Signs with the first secret and verifies with each of them, so that a secret can be replaced without a logout. */
export async function createAccessTokens(
  fastify: FastifyInstance,
  { secrets, issuer, audience, claims }: AccessTokenConfig
): Promise<AccessTokens> {
  const keys = await registerKeys(fastify, secrets)

  /** The claims of tokens whose signature is good. A secret holds as long as the app runs. */
  const opened = new TokenMap<RegisteredClaims>(MAX_OPENED)

  /** The claims of a token that is spelled as the tokens issued here and signed with one of the secrets, or null. */
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
    const encodedPayload = encodedPayloadOf(token)
    if (encodedPayload === null) return null
    for (const key of keys) {
      try {
        const payload: unknown = key.verify(token)
        // Malformed UTF-8 reads as U+FFFD, so two different payloads could look alike (RFC 7515 5.2).
        return isPlainObject(payload) && isUtf8(Buffer.from(encodedPayload, 'base64url')) ? payload : null
      } catch {
        // Another secret may have signed the token. Why this secret did not is not reported.
      }
    }
    return null
  }

  function readClaims({ sub, jti, iat, exp, nbf, iss, aud }: RegisteredClaims): AccessTokenClaims {
    const now = Date.now() / 1_000
    const hasRequiredClaims = isUserId(sub) && isSessionId(jti) && isFiniteNumber(iat) && isFiniteNumber(exp)
    if (!hasRequiredClaims) throw invalidToken()
    if (nbf !== undefined && !(isFiniteNumber(nbf) && nbf <= now)) throw invalidToken()
    if (issuer !== undefined && iss !== issuer) throw invalidToken()
    if (audience !== undefined && aud !== audience) throw invalidToken()
    if (exp <= now) throw new SessionEndedError('expired')
    return { sessionId: jti, userId: sub, exp }
  }

  return {
    sign(session) {
      const { id, user, createdAt, expiresAt } = session
      const exp = expOf(session)
      const registered = {
        iss: issuer,
        sub: user.id,
        aud: audience,
        exp,
        nbf: undefined,
        // Up to a second ahead, so that both are whole seconds and the lifetime between them.
        iat: exp - (expiresAt - createdAt) / 1_000,
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

    findSession(token) {
      const { jti: id, exp } = openToken(token) ?? {}
      return isSessionId(id) && isFiniteNumber(exp) ? { id, expiresAt: exp * 1_000 } : null
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
