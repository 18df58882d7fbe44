import { createPublicKey, type KeyObject } from 'node:crypto'
import type { FastifyInstance } from 'fastify'
import { InvalidClaimsError } from '../errors.js'
import { PlainCause } from '../internal/redact-error.js'
import type { Session, User } from '../model/session.js'
import { expOf } from './access-token.js'
import { copyClaims, type JWT, type JwtKey, registerKeys } from './jwt-keys.js'
import { MAX_TOKEN_LENGTH } from './token-format.js'

/** Signs identity tokens, which tell the services behind a proxy who the user is. */
export interface IdentityTokens {
  /**
   * Signs a token for the user of the session. The token expires after `ttlSeconds`, and with the session at the latest.
   * @throws {InvalidClaimsError} `identity.claims` threw or returned invalid claims
   */
  sign(session: Session): string
}

/** How identity tokens are signed, and their claims. */
export interface IdentityTokenConfig {
  /** An Ed25519 private key, or a secret. */
  key: KeyObject | Buffer
  keyId: string | undefined
  issuer: string
  audience: string
  ttlSeconds: number
  /** Returns the application's own claims. */
  claims(user: User): Record<string, unknown>
}

/** Creates identity tokens. */
export async function createIdentityTokens(
  fastify: FastifyInstance,
  config: IdentityTokenConfig
): Promise<IdentityTokens> {
  const [key] = await registerKeys(fastify, [toJwtKey(config)])
  return { sign: (session) => sign(key, session, config) }
}

/** Claims of the plugin, and claims that no reader expects from the application (RFC 7519 4.1). */
const REGISTERED = ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti']

function sign(key: JWT, { user, expiresAt }: Session, config: IdentityTokenConfig): string {
  const { issuer, audience, ttlSeconds, claims } = config
  const iat = Math.floor(Date.now() / 1_000)
  // Without the id of the session: a service must not be able to end a session, or to follow one.
  const registered = {
    iss: issuer,
    sub: user.id,
    aud: audience,
    iat,
    exp: Math.min(iat + ttlSeconds, expOf({ expiresAt }))
  }
  try {
    const own = copyClaims(claims(structuredClone(user)))
    const taken = REGISTERED.find((name) => Object.hasOwn(own, name))
    if (taken !== undefined) throw new PlainCause(`The claim \`${taken}\` is the plugin's`)
    const token = key.sign({ ...own, ...registered })
    if (token.length > MAX_TOKEN_LENGTH) throw new RangeError('Too long')
    return token
  } catch (error) {
    throw new InvalidClaimsError(error, 'identity.claims')
  }
}

/** The type keeps a service from taking an access token for an identity token (RFC 8725 3.11). */
function toJwtKey({ key, keyId }: IdentityTokenConfig): JwtKey {
  const isSecret = Buffer.isBuffer(key)
  const alg = isSecret ? 'HS256' : 'EdDSA'
  const header = { alg, typ: 'id+jwt', ...(keyId !== undefined && { kid: keyId }) }
  return { secret: isSecret ? key : toPems(key), sign: { algorithm: alg, header } }
}

/** @fastify/jwt wants the public key beside the private key, although nothing is verified here. */
function toPems(key: KeyObject): { private: string; public: string } {
  return {
    private: key.export({ type: 'pkcs8', format: 'pem' }).toString(),
    public: createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString()
  }
}
