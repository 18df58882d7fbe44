import { createPrivateKey, type KeyObject, type PrivateKeyInput } from 'node:crypto'
import { isUint8Array } from 'node:util/types'
import { InvalidOptionError } from '../errors.js'
import type { User } from '../model/session.js'
import { checkFields, checkInteger, checkOptionalFunction, checkOptionalText, checkRequired } from './checks.js'
import type { IdentityOptions } from './identity-options.js'
import { checkSecret } from './resolve-secrets.js'

/** The options of identity tokens with every default. */
export interface ResolvedIdentity {
  /** An Ed25519 private key, or a secret. */
  key: KeyObject | Buffer
  keyId: string | undefined
  issuer: string
  audience: string
  ttlSeconds: number
  claims: (user: User) => Record<string, unknown>
}

const FIELDS: (keyof IdentityOptions)[] = ['key', 'keyId', 'issuer', 'audience', 'ttlSeconds', 'claims']

/**
 * @param secrets the secrets of other options: services must not know a secret of the authenticator
 * @returns null: no identity tokens
 * @throws {InvalidOptionError} the message has no part of the key
 */
export function resolveIdentity(
  identity: IdentityOptions | undefined,
  secrets: readonly Buffer[]
): ResolvedIdentity | null {
  if (identity === undefined) return null
  const { key, keyId, issuer, audience, ttlSeconds, claims } = checkFields('identity', identity, FIELDS)
  return {
    key: resolveKey(key, secrets),
    keyId: checkOptionalText('identity.keyId', keyId),
    issuer: checkText('identity.issuer', issuer),
    audience: checkText('identity.audience', audience),
    ttlSeconds: checkInteger('identity.ttlSeconds', ttlSeconds, 60, { max: 3_600 }),
    claims: checkOptionalFunction('identity.claims', claims) ?? (() => ({}))
  }
}

function checkText(option: string, value: unknown): string {
  return checkRequired(option, checkOptionalText(option, value))
}

function resolveKey(key: unknown, secrets: readonly Buffer[]): KeyObject | Buffer {
  checkRequired('identity.key', key)
  const pem = isUint8Array(key) ? Buffer.from(key).toString('latin1') : key
  if (typeof pem === 'string' && pem.includes('-----BEGIN ')) return readPrivateKey(pem)
  if (isUint8Array(key) && parsePrivateKey({ key: Buffer.from(key), format: 'der', type: 'pkcs8' }) !== null) {
    throw new InvalidOptionError('identity.key', RULES.key)
  }
  const secret = checkSecret('identity.key', key, RULES)
  if (secrets.some((other) => other.equals(secret))) {
    throw new InvalidOptionError(
      'identity.key',
      'must not be a secret of `jwt` or `upstream.tokens`: services may have this key'
    )
  }
  return secret
}

const RULES = {
  type: 'must be an Ed25519 private key as PEM, or a secret: a well-formed string, a Buffer or a Uint8Array',
  key: 'must be an Ed25519 private key as PEM, or a secret; no key in another format (DER, SSH, JWK), and no certificate'
}

function readPrivateKey(pem: string): KeyObject {
  const key = parsePrivateKey(pem)
  if (key === null) {
    throw new InvalidOptionError(
      'identity.key',
      'must be a private key in its PEM, without a passphrase: not a public key, and not a certificate'
    )
  }
  if (key.asymmetricKeyType === 'ed25519') return key
  throw new InvalidOptionError('identity.key', 'must be an Ed25519 key: RSA, EC and other keys are not supported')
}

function parsePrivateKey(key: string | PrivateKeyInput): KeyObject | null {
  try {
    return createPrivateKey(key)
  } catch {
    return null
  }
}
