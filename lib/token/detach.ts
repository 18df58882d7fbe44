/** A copy of a part of a header. A slice would retain the whole header while the token is cached. */
export function detach(part: string): string {
  return Buffer.from(part, 'latin1').toString('latin1')
}
