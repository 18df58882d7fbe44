import { InvalidOptionError } from '../errors.js'

const MIN_BYTES = 32

/**
 * Copies the secrets, so that nobody changes them behind our back, and refuses what is no secret (RFC 7518 3.2).
 *
 * @throws {InvalidOptionError} without a word of the secret
 */
export function resolveSecrets(option: unknown): readonly Buffer[] {
  const secrets: unknown[] = Array.isArray(option) ? option : [option]
  if (secrets.length === 0) throw new InvalidOptionError('jwt.secret', 'must not be an empty array')
  return secrets.map(resolveSecret)
}

function resolveSecret(secret: unknown): Buffer {
  if (typeof secret !== 'string' && !Buffer.isBuffer(secret)) {
    throw new InvalidOptionError('jwt.secret', 'must be a string, a Buffer, or an array of them')
  }
  const bytes = Buffer.from(secret as string)
  if (bytes.length < MIN_BYTES) throw new InvalidOptionError('jwt.secret', `must be at least ${MIN_BYTES} bytes long`)
  if (bytes.every((byte) => byte === bytes[0])) {
    throw new InvalidOptionError('jwt.secret', 'must be random, not one byte repeated')
  }
  // A key that may be public must never be an HMAC secret: whoever has it could sign (RFC 8725 2.1).
  if (PUBLIC_KEY_TEXT.test(bytes.toString('latin1'))) {
    throw new InvalidOptionError(
      'jwt.secret',
      'must not be a PEM, certificate, SSH or JWK text: HS256 needs a shared secret'
    )
  }
  return bytes
}

const PUBLIC_KEY_TEXT = /-----BEGIN |"kty"\s*:|(?:ssh-(?:rsa|dss|ed25519)|ecdsa-sha2-\w+) AAAA/
