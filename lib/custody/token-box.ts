import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'

/** The session whose tokens are in a box. A box does not open for another session, or for another user. */
export interface BoxOwner {
  sessionId: string
  userId: string
}

/** Encrypts texts for the store: AES-256-GCM with the first secret. Every secret decrypts. */
export interface TokenBoxes {
  /** The box: printable ASCII without `|`. */
  seal(text: string, owner: BoxOwner): string
  /** The text; null for a box of another owner, of an unknown secret or version, or a box that was changed. */
  open(box: string, owner: BoxOwner): string | null
}

const VERSION = '1'
const ALGORITHM = 'aes-256-gcm'
const KEY_BYTES = 32
const KEY_ID_BYTES = 6
/** The length that needs no derivation (NIST SP 800-38D 5.2.1.1). */
const NONCE_BYTES = 12
const TAG_BYTES = 16

/**
 * Creates the boxes of some secrets.
 *
 * A box is `version.keyId.body`; the body is nonce, ciphertext and tag in base64url. The keys are derived from the secrets
 * by HKDF-SHA256 (RFC 5869), each for one purpose.
 *
 * @param secrets at least one
 */
export function createTokenBoxes(secrets: readonly Buffer[]): TokenBoxes {
  const keys = secrets.map(deriveKey)
  const [sealing] = keys
  if (sealing === undefined) throw new RangeError('There is no secret')

  return {
    seal(text, owner) {
      const nonce = randomBytes(NONCE_BYTES)
      const cipher = createCipheriv(ALGORITHM, sealing.key, nonce, { authTagLength: TAG_BYTES })
      cipher.setAAD(additionalData(owner))
      const body = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
      return `${VERSION}.${sealing.id}.${body.toString('base64url')}`
    },

    open(box, owner) {
      const [version, keyId, text = ''] = box.split('.')
      const found = keys.find(({ id }) => id === keyId)
      const body = Buffer.from(text, 'base64url')
      if (version !== VERSION || found === undefined || body.length < NONCE_BYTES + TAG_BYTES) return null
      const nonce = body.subarray(0, NONCE_BYTES)
      const decipher = createDecipheriv(ALGORITHM, found.key, nonce, { authTagLength: TAG_BYTES })
      decipher.setAAD(additionalData(owner))
      decipher.setAuthTag(body.subarray(-TAG_BYTES))
      const plain = decipher.update(body.subarray(NONCE_BYTES, -TAG_BYTES))
      try {
        return Buffer.concat([plain, decipher.final()]).toString('utf8')
      } catch {
        return null
      }
    }
  }
}

interface DerivedKey {
  /** Selects the key of a box. A hash of its own: the id tells nothing about the key. */
  id: string
  key: Buffer
}

function deriveKey(secret: Buffer): DerivedKey {
  const derive = (purpose: string, bytes: number) =>
    Buffer.from(hkdfSync('sha256', secret, '', `fastify-jwt-session upstream tokens ${purpose}`, bytes))
  return { id: derive('key id', KEY_ID_BYTES).toString('base64url'), key: derive(ALGORITHM, KEY_BYTES) }
}

function additionalData({ sessionId, userId }: BoxOwner): Buffer {
  return Buffer.from(JSON.stringify([VERSION, sessionId, userId]))
}
