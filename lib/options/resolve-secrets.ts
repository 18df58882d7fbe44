import { createPublicKey, X509Certificate } from 'node:crypto'
import { isUint8Array } from 'node:util/types'
import { InvalidOptionError } from '../errors.js'
import { checkRequired } from './checks.js'

const MIN_BYTES = 32

/**
 * Copies the secrets, so that later changes of the option have no effect.
 *
 * @param secret a secret, or an array of secrets
 * @param option the path of the option
 * @throws {InvalidOptionError} for a short secret (RFC 7518 3.2) or a key; the message has no part of the secret
 */
export function resolveSecrets(secret: unknown, option = 'jwt.secret'): readonly Buffer[] {
  checkRequired(option, secret)
  const secrets: unknown[] = Array.isArray(secret) ? Array.from(secret) : [secret]
  if (secrets.length === 0) throw new InvalidOptionError(option, 'must not be an empty array')
  return secrets.map((each) => checkSecret(option, each, RULES))
}

/** The rules of a secret, each as the end of the sentence "The `option` option …". */
interface SecretRules {
  /** For a value of another type. */
  type: string
  /** For the text or the bytes of an asymmetric key. */
  key: string
}

const RULES: SecretRules = {
  type: 'must be a well-formed string, a Buffer or Uint8Array, or an array of secrets',
  key: 'must be a shared secret, not a key or certificate (PEM, DER, SSH, JWK)'
}

/**
 * Copies a secret of an HMAC.
 *
 * @throws {InvalidOptionError} the message has no part of the secret
 */
export function checkSecret(option: string, secret: unknown, rules: SecretRules): Buffer {
  if (!isUint8Array(secret) && !(typeof secret === 'string' && secret.isWellFormed())) {
    throw new InvalidOptionError(option, rules.type)
  }
  const bytes = Buffer.from(secret as string)
  if (bytes.length < MIN_BYTES) throw new InvalidOptionError(option, `must be at least ${MIN_BYTES} bytes long`)
  if (bytes.every((byte) => byte === bytes[0])) {
    throw new InvalidOptionError(option, 'must be random, not one byte repeated')
  }
  if (KEY_TEXT.test(bytes.toString('latin1')) || isPublicKey(bytes)) throw new InvalidOptionError(option, rules.key)
  return bytes
}

// A public key must never be an HMAC secret: every reader of the key could sign tokens (RFC 8725 2.1).
const KEY_TEXT = /---- ?BEGIN |["'\\{,\s]kty["'\\]*\s*:|(?:ssh|sk|ecdsa)-[\w.@-]+\s+AAAA|PuTTY-User-Key-File/

/** Whether the bytes are the DER encoding of a public key or a certificate. */
function isPublicKey(key: Buffer): boolean {
  const readers = [
    () => createPublicKey({ key, format: 'der', type: 'spki' }),
    () => createPublicKey({ key, format: 'der', type: 'pkcs1' }),
    () => new X509Certificate(key)
  ]
  return readers.some((read) => {
    try {
      return read() !== undefined
    } catch {
      return false
    }
  })
}
