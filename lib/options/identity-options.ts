import type { User } from '../model/session.js'

/**
 * How the verify route signs identity tokens: a JWT of type `id+jwt` with the claims `iss`, `aud`, `sub`, `iat` and `exp`,
 * and never with the id of the session. The services behind the proxy verify the token without a call.
 */
export interface IdentityOptions {
  /**
   * An Ed25519 private key as PEM, which signs with `EdDSA`: services get the public key, and can sign nothing. Or a
   * secret of at least 32 bytes, which signs with `HS256`: then each service can sign tokens too. No secret of `jwt.secret`
   * or `upstream.tokens.secrets`.
   * Undefined, such as an environment variable that is not set, compiles and fails `register()`.
   */
  key: string | Uint8Array | undefined
  /** The `kid` of the token's header, by which a service finds the public key. Default: none. */
  keyId?: string | undefined
  /** The `iss` claim, such as the URL of the authenticator. */
  issuer: string
  /** The `aud` claim, such as the name of the services behind the proxy. */
  audience: string
  /** Seconds until the token expires, with the session at the latest: 1 to 3 600. Default 60. */
  ttlSeconds?: number | undefined
  /**
   * Custom claims, computed at each verification from the user of the session. The result must be a JSON object without
   * `iss`, `sub`, `aud`, `exp`, `nbf`, `iat` and `jti`: else the answer is 500 `FST_JWT_SESSION_INVALID_CLAIMS`. Default:
   * none.
   */
  claims?: ((user: User) => Record<string, unknown>) | undefined
}
