import t from 'tap'
import { fuzzBodies } from './fuzz/fuzz-bodies.js'
import { fuzzTokens } from './fuzz/fuzz-tokens.js'

/** The same each time: `npm run test:fuzz` is for new ones. */
const SEED = 20_261_124

t.test('of 4,000 mutated tokens none is accepted that was not issued, and each is answered 401', async (t) => {
  const { tallies, failures } = await fuzzTokens(t, { seed: SEED, count: 4_000 })
  t.strictSame(failures, [])
  for (const [kind, { refused }] of tallies) t.ok(refused > 100, kind)
})

t.test('of 600 bodies none is answered 500, and the upstream gets those that the schema allows', async (t) => {
  const { tallies, failures } = await fuzzBodies(t, { seed: SEED, count: 600 })
  t.strictSame(failures, [])
  for (const [kind, { sent }] of tallies) t.ok(sent > 20, kind)
})
