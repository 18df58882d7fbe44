import { isUtf8 } from 'node:buffer'
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { InvalidClaimsError, SessionEndedError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'
import { restoreStackTraces, stopStackTraces } from '../internal/stack-trace.js'
import { TokenMap } from '../internal/token-lru.js'
import type { Session, User } from '../model/session.js'
import { isSessionId } from '../model/session-id.js'
import { isUserId } from '../model/user.js'
import { copyClaims, type JWT, type JwtKey, registerKeys } from './jwt-keys.js'
import { HEADER, MAX_TOKEN_LENGTH, splitToken, type TokenParts } from './token-format.js'

/** The checked claims of a token. */
export interface AccessTokenClaims {
  sessionId: string
  userId: string
  /** Epoch seconds, see {@link expOf}. */
  exp: number
}

/** The unchecked claims of a token with a valid signature. */
type RegisteredClaims = Record<'sub' | 'jti' | 'iat' | 'exp' | 'nbf' | 'iss' | 'aud', unknown>

/** Signs and verifies access tokens. */
export interface AccessTokens {
  /**
   * Signs a token for the session, with the same expiry.
   * @throws {InvalidClaimsError} `jwt.claims` threw or returned invalid claims
   */
  sign(session: Session): string
  /**
   * Verifies the signature, then every claim (OWASP ASVS 9.1.1). `iat` is not compared with the clock, nor the lifetime
   * with the option: the stored session decides.
   * @throws {SessionEndedError} `expired` for an issued token at or after `exp`, else `invalid_token`
   */
  verify(token: string): AccessTokenClaims
  /**
   * Finds the session of an issued token: the id, and the absolute expiry in epoch milliseconds; null for other tokens.
   * Other claims are not checked: ending a session must not fail because clocks or options of two instances differ.
   */
  findSession(token: string): { id: string; expiresAt: number } | null
}

/**
 * `exp` of a session's tokens, in epoch seconds, rounded up to whole seconds: a token must not expire before the
 * session, whose expiry is in milliseconds.
 */
export function expOf({ expiresAt }: Pick<Session, 'expiresAt'>): number {
  return Math.ceil(expiresAt / 1_000)
}

/** The most tokens whose signature is not verified again. */
const MAX_VERIFIED_TOKENS = 10_000
/** With a cache of sessions: a cached session does not need the token's claims, which take 350 bytes. */
const MAX_VERIFIED_BESIDE_CACHE = 1_000

/** How tokens are signed, and the expected claims. */
export interface AccessTokenConfig {
  /** At least one secret. The first secret signs, every secret verifies. */
  secrets: readonly Buffer[]
  issuer: string | undefined
  audience: string | undefined
  /** Returns the application's own claims. Undefined: none. */
  claims: ((user: User) => Record<string, unknown>) | undefined
  /** Whether a cache finds the session of a token. */
  areSessionsCached: boolean
}

/** Creates access tokens. Several secrets allow a rotation without a logout. */
export async function createAccessTokens(fastify: FastifyInstance, config: AccessTokenConfig): Promise<AccessTokens> {
  return new JwtAccessTokens(await registerKeys(fastify, config.secrets.map(toJwtKey)), config)
}

class JwtAccessTokens implements AccessTokens {
  readonly #keys: readonly [JWT, ...JWT[]]
  readonly #config: AccessTokenConfig
  /** Claims by token, signed here or with a valid signature. The secrets do not change while the app runs. */
  readonly #verified: TokenMap<RegisteredClaims>

  constructor(keys: readonly [JWT, ...JWT[]], config: AccessTokenConfig) {
    this.#keys = keys
    this.#config = config
    this.#verified = new TokenMap(config.areSessionsCached ? MAX_VERIFIED_BESIDE_CACHE : MAX_VERIFIED_TOKENS)
  }

  sign(session: Session): string {
    const { issuer, audience, claims } = this.#config
    const { id, user, createdAt, expiresAt } = session
    const exp = expOf(session)
    const registered = {
      iss: issuer,
      sub: user.id,
      aud: audience,
      exp,
      nbf: undefined,
      // Up to a second in the future, for whole seconds with the exact lifetime between `iat` and `exp`.
      iat: exp - (expiresAt - createdAt) / 1_000,
      jti: id
    }
    try {
      const token = this.#keys[0].sign({ ...(claims && copyClaims(claims(structuredClone(user)))), ...registered })
      if (token.length > MAX_TOKEN_LENGTH) throw new RangeError('Too long')
      // The first request with the token mostly comes soon, and verifying takes as long as signing.
      this.#verified.set(token, registered)
      return token
    } catch (error) {
      throw new InvalidClaimsError(error)
    }
  }

  verify(token: string): AccessTokenClaims {
    const claims = this.#verifySignature(token)
    if (claims === null) throw invalidToken()
    return checkClaims(claims, this.#config)
  }

  findSession(token: string): { id: string; expiresAt: number } | null {
    const { jti: id, exp } = this.#verifySignature(token) ?? {}
    return isSessionId(id) && isFiniteNumber(exp) ? { id, expiresAt: exp * 1_000 } : null
  }

  /** The claims of a token with the format of issued tokens and a valid signature; null for other tokens. */
  #verifySignature(token: string): RegisteredClaims | null {
    const verified = this.#verified.get(token)
    if (verified !== undefined) return verified.value
    const payload = this.#verifyPayload(token)
    if (payload === null) return null
    const { sub, jti, iat, exp, nbf, iss, aud } = payload
    const claims = { sub, jti, iat, exp, nbf, iss, aud }
    this.#verified.set(token, claims)
    return claims
  }

  #verifyPayload(token: string): Record<string, unknown> | null {
    const parts = splitToken(token)
    if (parts === null) return null
    const key = this.#keys[this.#config.secrets.findIndex((secret) => isSignedWith(secret, parts))]
    if (key === undefined) return null
    let payload: unknown
    const limit = stopStackTraces()
    try {
      payload = key.verify(token)
    } catch {
      // A secret has signed a payload that is no JSON.
    }
    restoreStackTraces(limit)
    // Decoding replaces malformed UTF-8 by U+FFFD: two different payloads could look alike (RFC 7515 5.2).
    return isPlainObject(payload) && isUtf8(Buffer.from(parts.payload, 'base64url')) ? payload : null
  }
}

/**
 * Whether the secret has signed the token. Checked before fast-jwt, which decodes the payload and throws two errors for a
 * wrong signature: such a refusal took 2.3 times the CPU of a good token, and takes 1.9.
 */
function isSignedWith(secret: Buffer, { input, signature }: TokenParts): boolean {
  // As text, which takes half as long as a Buffer; a canonical signature has one spelling.
  const expected = createHmac('sha256', secret).update(input).digest('base64url')
  return timingSafeEqual(Buffer.from(expected), Buffer.from(signature))
}

/** @throws {SessionEndedError} */
function checkClaims(claims: RegisteredClaims, { issuer, audience }: AccessTokenConfig): AccessTokenClaims {
  const { sub, jti, iat, exp, nbf, iss, aud } = claims
  const now = Date.now() / 1_000
  const hasRequiredClaims = isUserId(sub) && isSessionId(jti) && isFiniteNumber(iat) && isFiniteNumber(exp)
  if (!hasRequiredClaims) throw invalidToken()
  if (nbf !== undefined && !(isFiniteNumber(nbf) && nbf <= now)) throw invalidToken()
  if (issuer !== undefined && iss !== issuer) throw invalidToken()
  if (audience !== undefined && aud !== audience) throw invalidToken()
  if (exp <= now) throw new SessionEndedError('expired')
  return { sessionId: jti, userId: sub, exp }
}

/** checkClaims() checks the times, according to the rules of this package. */
function toJwtKey(secret: Buffer): JwtKey {
  return {
    secret,
    sign: { algorithm: HEADER.alg, header: HEADER },
    verify: { algorithms: [HEADER.alg], ignoreExpiration: true, ignoreNotBefore: true }
  }
}

function invalidToken(): SessionEndedError {
  return new SessionEndedError('invalid_token')
}

function isFiniteNumber(value: unknown): value is number {
  return Number.isFinite(value)
}
