import t from 'tap'
import { restoreUserAgent, shortenUserAgent } from '../../lib/model/user-agent.js'

/** The user agents of browsers, and the length of each in a record. */
const BROWSERS: Record<string, number> = {
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36': 11,
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36': 11,
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36 Edg/131.0.0.0': 25,
  'Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Mobile Safari/537.36': 11,
  'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.1 Safari/605.1.15': 26,
  'Mozilla/5.0 (X11; Linux x86_64; rv:132.0) Gecko/20100101 Firefox/132.0': 21
}

t.test('a user agent in a record is short, and is restored', async (t) => {
  for (const [userAgent, length] of Object.entries(BROWSERS)) {
    const stored = shortenUserAgent(userAgent)
    t.equal(stored.length, length, userAgent)
    t.equal(restoreUserAgent(stored), userAgent)
  }
})

t.test('the codes in stored records stay the same', async (t) => {
  const codes = Array.from({ length: 10 }, (_, code) => `\x7f${code}`)
  t.strictSame(codes.map(restoreUserAgent), [
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
  ])
})

t.test('any text is restored, also a text that looks like a short one', async (t) => {
  const pieces = ['\x7f', '0', '9', '10', ...Object.keys(BROWSERS), '.0.0.0 Safari/537.36', 'Mozilla/5.0 (', '日', ' ']
  const pairs = pieces.flatMap((first) => pieces.map((second) => first + second))
  const texts = pairs.flatMap((pair) => pieces.map((piece) => pair + piece))
  t.strictSame(texts.map(shortenUserAgent).map(restoreUserAgent), texts)
  t.equal(restoreUserAgent(shortenUserAgent('')), '')
  // No release writes the code.
  t.equal(restoreUserAgent('\x7fx'), '\x7fx')
})

t.test('more user agents than the process remembers are restored', async (t) => {
  const texts = Array.from({ length: 1_500 }, (_, i) => `Mozilla/5.0 (${i}`)
  const restored = [...texts, ...texts].map((text) => restoreUserAgent(shortenUserAgent(text)))
  t.strictSame(restored, [...texts, ...texts])
})
