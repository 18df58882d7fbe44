import t from 'tap'
import { decodeTokens, encodeTokens, holdTokens, isDue, isGood } from '../../lib/custody/held-tokens.js'
import { MinuteLog } from '../../lib/internal/minute-log.js'
import { createFaults } from '../fixtures/faults.js'

const received = { accessToken: 'a', refreshToken: 'r', expiresInMs: 60_000 }

t.test('tokens are the same after they were stored', async (t) => {
  for (const each of [received, { ...received, refreshToken: null }, { ...received, expiresInMs: null }]) {
    const tokens = holdTokens(each)
    t.strictSame(decodeTokens(encodeTokens(tokens)), tokens)
  }
  t.equal(holdTokens({ ...received, expiresInMs: 1e300 }).expiresAt, Number.MAX_SAFE_INTEGER)
})

t.test('a decrypted text of another form is no token', async (t) => {
  const faults = createFaults()
  for (const text of [
    ...['', 'x', '{}', 'null', '[]', '[null,null,0,null]', '["a"]', '["a",5,0,null]', '["a",null]'],
    ...['["a",null,"0",null]', '["a",null,0]', '["a",null,0,"0"]']
  ]) {
    faults.compare(text, decodeTokens(text), null)
  }
  faults.assertNone(t)
})

t.test('a token is due before its expiry, when it was rejected, and otherwise never', async (t) => {
  const tokens = holdTokens(received)
  const unknown = holdTokens({ ...received, expiresInMs: null })
  const faults = createFaults()
  for (const [agoMs, due, good] of [
    [0, false, true],
    [29_000, false, true],
    [31_000, true, true],
    [61_000, true, false]
  ] as const) {
    const earlier = { ...tokens, receivedAt: tokens.receivedAt - agoMs, expiresAt: (tokens.expiresAt ?? 0) - agoMs }
    faults.compare(`${agoMs}`, [isDue(earlier, 30_000, undefined), isGood(earlier, 'b')], [due, good])
    faults.compare(`${agoMs}, rejected`, [isDue(earlier, 30_000, 'a'), isGood(earlier, 'a')], [true, false])
    faults.compare(`${agoMs} without a margin`, isDue(earlier, 0, undefined), !good)
  }
  faults.compare('without an expiry', [isDue(unknown, 30_000, 'b'), isDue(unknown, 30_000, 'a')], [false, true])
  faults.assertNone(t)
})

t.test('a text is logged once a minute, and not every text is remembered', async (t) => {
  let now = 1_000
  t.intercept(performance, 'now', { value: () => now })
  const lines: string[] = []
  const log = new MinuteLog({
    error: (text) => lines.push(`error ${text}`),
    warn: (text) => lines.push(`warn ${text}`)
  })
  for (let i = 0; i < 3; i++) log.error('a')
  log.warn('b')
  t.strictSame(lines, ['error a', 'warn b'])
  now += 60_001
  log.error('a')
  t.equal(lines.length, 3)
  for (let i = 0; i < 100; i++) log.warn(`${i}`)
  log.error('a')
  t.equal(lines.length, 104)
  t.equal(lines.at(-1), 'error a')
})
