/** The header of every issued token. */
export const HEADER = { alg: 'HS256', typ: 'at+jwt' } as const

/** Maximum length of a token, in characters. */
export const MAX_TOKEN_LENGTH = 8_192

/**
 * The exact format of an issued token. The header must equal the header of sign(), byte by byte: other algorithms,
 * other types, `crit` and key references are never parsed (RFC 8725 3.1, 3.11). Base64url must be canonical, without
 * stray bits at the end (RFC 4648 3.5): a 32-byte MAC ends with 1 of 16 characters.
 */
const TOKEN = new RegExp(
  `^(${Buffer.from(JSON.stringify(HEADER)).toString('base64url')}` +
    String.raw`\.((?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?))` +
    String.raw`\.([\w-]{42}[AEIMQUYcgkosw048])$`
)

/** The parts of a token, in base64url. */
export interface TokenParts {
  /** Header and payload with the dot between them: what is signed. */
  input: string
  payload: string
  signature: string
}

/** The parts of a token in the format of issued tokens; null for other text. */
export function splitToken(token: string): TokenParts | null {
  const [, input = '', payload = '', signature = ''] = (token.length <= MAX_TOKEN_LENGTH && TOKEN.exec(token)) || []
  return signature === '' ? null : { input, payload, signature }
}
