import t from 'tap'
import { fuzzBodies } from './fuzz/fuzz-bodies.js'
import { fuzzTokens } from './fuzz/fuzz-tokens.js'

/** A fixed seed. `npm run test:fuzz` uses random seeds. */
const SEED = 20_261_124

t.test('every one of 4,000 mutated tokens that was not issued is answered 401', async (t) => {
  const { tallies, failures } = await fuzzTokens(t, { seed: SEED, count: 4_000 })
  t.strictSame(failures, [])
  for (const [kind, { refused }] of tallies) t.ok(refused > 100, kind)
})

t.test('none of 600 bodies is answered 500, and the upstream gets only bodies that the schema allows', async (t) => {
  const { tallies, failures } = await fuzzBodies(t, { seed: SEED, count: 600 })
  t.strictSame(failures, [])
  for (const [kind, { sent }] of tallies) t.ok(sent > 20, kind)
})
