import type { Random } from './random.js'

const ODD_SCHEMES: ((token: string) => string)[] = [
  (token) => `bearer ${token}`,
  (token) => `BEARER   ${token}`,
  (token) => `Bearer ${token} `,
  (token) => ` Bearer ${token}`,
  (token) => `Bearer\t${token}`,
  (token) => `Bearer\u00a0${token}`,
  (token) => `Bearer${token}`,
  (token) => `Bearer: ${token}`,
  (token) => `Bearer "${token}"`,
  (token) => `Bearer Bearer ${token}`,
  (token) => `Bearer ${token}, Bearer ${token}`,
  (token) => `Bearer ${token}; charset=utf-8`,
  (token) => `Bearer token=${token}`,
  (token) => `Basic ${token}`,
  (token) => `Basic ${Buffer.from(`:${token}`).toString('base64')}`,
  (token) => `DPoP ${token}`,
  (token) => `\u212aearer ${token}`,
  (token) => `Bearer \0${token}`,
  (token) => `Bearer ${token}%20`,
  (token) => token,
  () => 'Bearer',
  () => 'Bearer ',
  () => ''
]

/** An `Authorization` header for the token, sometimes slightly wrong. */
export function headerValueOf(token: string, random: Random): string {
  return random.oneIn(10) ? random.pick(ODD_SCHEMES)(token) : `Bearer ${token}`
}

/** The token in the header by RFC 6750 2.1, with any number of spaces; null without a token. */
export function tokenIn(headerValue: string): string | null {
  return /^bearer +([^ ].*)$/is.exec(headerValue)?.[1] ?? null
}
