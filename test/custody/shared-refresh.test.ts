import t from 'tap'
import { TokenCustody } from '../../lib/custody/token-custody.js'
import { MinuteLog } from '../../lib/internal/minute-log.js'
import { createGate } from '../fixtures/create-gate.js'

const session = { id: 'session', user: { id: 'ada' }, expiresAt: Date.now() + 60_000 }
const silent = { warn() {}, error() {} }

t.test('a call with a rejected token shares no refresh of calls for which the token is good', async (t) => {
  const lock = createGate()
  const rejections: (string | undefined)[] = []
  const due = { accessToken: 'first', refreshToken: 'refresh', receivedAt: 0, expiresAt: Date.now() + 1_000 }
  const custody = new TokenCustody({
    stored: { load: async () => ({ text: 'box', lock: null, box: 'box', tokens: due }), seal: () => 'box' },
    unsaved: { tokensOf: () => undefined, async close() {} },
    refresh: {
      // While another process refreshes the tokens, a refresh for a token that is still good returns this token.
      async run(_session, rejected) {
        rejections.push(rejected)
        await lock.opened
        return rejected === undefined ? 'first' : 'second'
      }
    },
    ...{ refreshBeforeMs: 30_000, maxBytes: 8_192, log: new MinuteLog(silent) }
  })
  const calls = [custody.accessToken(session, undefined)]
  const rejecting = [1, 2].map(() => custody.accessToken(session, 'first'))
  await new Promise(setImmediate)
  t.strictSame(rejections, [undefined], 'all calls share the refresh of the first')
  lock.open()
  // One of these calls begins the next refresh in the moment in which the first has ended.
  for (let turn = 0; turn < 50; turn++) {
    calls.push(custody.accessToken(session, undefined))
    await null
  }
  t.strictSame(await Promise.all(rejecting), ['second', 'second'])
  t.strictSame(new Set(await Promise.all(calls)), new Set(['first']))
  t.equal(rejections.filter((rejected) => rejected === 'first').length, 1)
})
