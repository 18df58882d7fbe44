/** The header of every token that is issued here. */
export const HEADER = { alg: 'HS256', typ: 'at+jwt' } as const

/** In characters. */
export const MAX_TOKEN_LENGTH = 8_192

/**
 * The exact spelling of a token. The header is the header that sign() writes, to the byte: no other algorithm or type, no
 * `crit` and no key reference is ever read (RFC 8725 3.1, 3.11). Base64url has one spelling only, whole groups of four or
 * an end without stray bits (RFC 4648 3.5), so a 32-byte MAC ends in one of sixteen characters.
 */
const TOKEN = new RegExp(
  `^${Buffer.from(JSON.stringify(HEADER)).toString('base64url')}` +
    String.raw`\.((?:[\w-]{4})*(?:[\w-][AQgw]|[\w-]{2}[AEIMQUYcgkosw048])?)` +
    String.raw`\.[\w-]{42}[AEIMQUYcgkosw048]$`
)

/** The payload, in base64url, of a token that is spelled as the tokens issued here; null for any other text. */
export function encodedPayloadOf(token: string): string | null {
  return token.length <= MAX_TOKEN_LENGTH ? (TOKEN.exec(token)?.[1] ?? null) : null
}
