const BEARER = 'bearer '

/** The token of an `Authorization: Bearer <token>`, or null when the header is missing, empty or of another scheme. */
export function readBearerToken(authorization = ''): string | null {
  if (authorization.slice(0, BEARER.length).toLowerCase() !== BEARER) return null
  let start = BEARER.length
  while (authorization[start] === ' ') start++
  return authorization.slice(start) || null
}
