/** Stands before a code. No header has the character (RFC 9110 5.5), and JSON stores it in one byte. */
const MARK = '\x7f'

/**
 * Long parts of the user agents of most browsers. The place in the list is the code in stored records: never change the
 * list.
 */
const PARTS = [
  'Mozilla/5.0 (',
  'Windows NT 10.0; Win64; x64',
  'Macintosh; Intel Mac OS X 10_15_7',
  'X11; Linux x86_64',
  'Linux; Android 10; K',
  ') AppleWebKit/537.36 (KHTML, like Gecko) Chrome/',
  '.0.0.0 Safari/537.36',
  '.0.0.0 Mobile Safari/537.36',
  ') AppleWebKit/605.1.15 (KHTML, like Gecko) Version/',
  ') Gecko/20100101 Firefox/'
]

/**
 * The text of a user agent in a record, with a code of two characters for each known part and for {@link MARK}. The user
 * agent of Chrome takes 11 bytes instead of 111, and the session 128 bytes less of Redis.
 */
export const shortenUserAgent = remember((userAgent) =>
  PARTS.reduce((text, part, place) => text.replaceAll(part, MARK + place), userAgent.replaceAll(MARK, MARK + MARK))
)

/** The user agent of a text of {@link shortenUserAgent}: one string for all sessions, which saves memory in the cache. */
export const restoreUserAgent = remember((stored) =>
  stored.replace(/\x7f([\d\x7f])/g, (_code, place: string) => PARTS[Number(place)] ?? MARK)
)

const MAX_REMEMBERED = 1_000

/** Remembers the last results: most sessions have one of few user agents. */
function remember(compute: (text: string) => string): (text: string) => string {
  const results = new Map<string, string>()
  return (text) => {
    const known = results.get(text)
    if (known !== undefined) return known
    if (results.size === MAX_REMEMBERED) results.clear()
    const result = compute(text)
    results.set(text, result)
    return result
  }
}
