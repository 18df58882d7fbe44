import { UnexpectedReplyError } from '../check-reply.js'
import { END_REASONS, type FoundRecord } from '../session-store.js'

/** A generation, with `!lag` after a `revokeAll()`; then the only session, or the earliest expiry of several sessions. */
const HEAD = /^[0-9a-z]{8}(?:![0-9a-z]*)?(?:~\d+)?(?: |$)/
const OWN = /^[0-9a-z]{8} ./
const GENERATION_LENGTH = 8

/**
 * The session in the two keys that hold it; `session-script.ts` explains the keys. A value in an unknown format is a
 * record that cannot be used, and does not end the session.
 *
 * @param head the user's head
 * @param own the session's own key
 * @throws {UnexpectedReplyError} a key is empty
 */
export function readStored(random: string, head: string | null, own: string | null): FoundRecord | null {
  if (head === '' || own === '') throw new UnexpectedReplyError('A key is empty')
  if (own !== null) {
    const ended = END_REASONS.find((reason) => reason === own)
    if (ended !== undefined) return { ended }
  }
  if (head !== null) {
    if (!HEAD.test(head)) return { record: head }
    const memberStart = head.indexOf(' ') + 1
    if (memberStart > 0 && head.startsWith(random, memberStart)) {
      return { record: head.slice(memberStart + random.length + 1) || head }
    }
  }
  if (own === null) return null
  return OWN.test(own) ? readOwn(head, own) : { record: own }
}

function readOwn(head: string | null, own: string): FoundRecord | null {
  if (head === null) return null
  const [current, generation] = [head.slice(0, GENERATION_LENGTH), own.slice(0, GENERATION_LENGTH)]
  if (generation === current) return { record: own.slice(GENERATION_LENGTH + 1) }
  // Base-36 texts of the same length compare like their numbers.
  return generation < current && head[GENERATION_LENGTH] === '!' ? { ended: 'revoked' } : null
}
