// npm run test:fuzz -- [--tokens 1000000] [--bodies 100000] [--seed n] [--first n]
import { randomInt } from 'node:crypto'
import { parseArgs } from 'node:util'
import { markdownTable } from '../../fixtures/markdown-table.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { fuzzBodies } from './fuzz-bodies.js'
import { fuzzTokens } from './fuzz-tokens.js'

const { values } = parseArgs({
  options: {
    tokens: { type: 'string', default: '1000000' },
    bodies: { type: 'string', default: '100000' },
    seed: { type: 'string', default: String(randomInt(2 ** 32)) },
    first: { type: 'string', default: '0' }
  }
})
const [seed, first] = [Number(values.seed), Number(values.first)]
console.log(`Seed ${seed}`)
const startedAt = performance.now()
const tokens = await withTeardown((t) => fuzzTokens(t, { seed, first, count: Number(values.tokens) }))
const tokensAt = performance.now()
const bodies = await withTeardown((t) => fuzzBodies(t, { seed, first, count: Number(values.bodies) }))
const bodiesAt = performance.now()

const failures = [...tokens.failures, ...bodies.failures]
for (const failure of failures) console.log(`FAILED ${failure}`)
const seconds = (ms: number) => `${(ms / 1_000).toFixed(0)} s`
console.log(`\n## Tokens, ${seconds(tokensAt - startedAt)}\n`)
console.log(tableOf(tokens.tallies, ['sent', 'refused', 'issued']))
console.log(`\n## Bodies, ${seconds(bodiesAt - tokensAt)}\n`)
console.log(tableOf(bodies.tallies, ['sent', 'passed', 'refused']))
console.log(failures.length === 0 ? `\nNo failure, seed ${seed}` : `\n${failures.length} FAILURES, seed ${seed}`)
process.exitCode = failures.length === 0 ? 0 : 1

/** A row of figures for each kind, and a row of sums. */
function tableOf<Name extends string>(tallies: Map<string, Record<Name, number>>, names: Name[]): string {
  const rows = [...tallies].map(([kind, tally]) => [kind, ...names.map((name) => tally[name])])
  const totals = names.map((name) => [...tallies.values()].reduce((sum, tally) => sum + tally[name], 0))
  return markdownTable(['kind', ...names], [...rows, ['all', ...totals]])
}
