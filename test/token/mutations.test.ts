import { randomInt } from 'node:crypto'
import t from 'tap'
import { assertAccepted, encode, HEADER, openSession, payloadOf, seal } from '../fixtures/tokens.js'

/** The environment variable with the printed seed of a failure repeats the mutants. */
const SEED = Number(process.env.TOKEN_MUTATION_SEED ?? randomInt(2 ** 32))

/** Mutants per test; ten times as many in `test/long/mutations.test.ts`. */
const MUTANTS = Number(process.env.TOKEN_MUTANTS ?? 500)

const CHARACTERS = 'AQgwZz09-_.=+/,;%"{}[]:\\\'$ \u00ff\u0000'

/** Deterministic numbers below a limit (xorshift32). */
function createRandom(seed: number): (limit: number) => number {
  let state = seed | 1
  return (limit) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % limit
  }
}

function mutate(text: string, random: (limit: number) => number): string {
  const at = random(text.length)
  const other = random(text.length)
  const character = CHARACTERS.charAt(random(CHARACTERS.length))
  const segments = text.split('.')
  const swapped = segments.with(random(segments.length), segments[random(segments.length)] ?? '').join('.')
  const mutants = [
    text.slice(0, at) + character + text.slice(at + 1),
    text.slice(0, at) + String.fromCharCode(text.charCodeAt(at) ^ (1 << random(7))) + text.slice(at + 1),
    text.slice(0, at) + character + text.slice(at),
    text.slice(0, at) + text.slice(at + 1),
    text.slice(0, Math.min(at, other)) + text.slice(Math.max(at, other)),
    text.slice(0, at) + text.slice(other),
    text.slice(0, at) + text.charAt(other) + text.slice(at + 1),
    segments.reverse().join('.'),
    swapped
  ]
  return mutants[random(mutants.length)] ?? text
}

function mutateSomeTimes(text: string, random: (limit: number) => number): string {
  let mutant = text
  for (let left = 1 + random(3); left > 0 && mutant !== ''; left--) mutant = mutate(mutant, random)
  return mutant
}

t.test('every mutant of a token is answered 401', async (t) => {
  const { visit, token } = await openSession(t)
  const random = createRandom(SEED)
  const wrong: string[] = []
  const bodies = new Set<string>()
  for (let n = 0; n < MUTANTS; n++) {
    const mutant = mutateSomeTimes(token, random)
    const { answer, handlerRuns, storeCalls } = await visit(mutant)
    // Leading spaces belong to the scheme, not to the token.
    const expected = mutant.replace(/^ +/, '') === token ? 200 : 401
    if (answer.statusCode !== expected) wrong.push(`${answer.statusCode} ${mutant}`)
    if (expected === 200) continue
    if (handlerRuns + storeCalls.length > 0) wrong.push(`got through: ${mutant}`)
    // A header has no line breaks, and an empty value is no token.
    if (!/[\r\n]|^ *$/.test(mutant)) bodies.add(answer.body)
  }
  t.strictSame(wrong, [], `seed ${SEED}`)
  t.strictSame(
    [...bodies].map((body) => JSON.parse(body).reason),
    ['invalid_token'],
    'all mutants get the same bytes'
  )
  assertAccepted(t, await visit(token))
})

t.test('every signed mutant of the header is answered 401', async (t) => {
  const { visit, session } = await openSession(t)
  const random = createRandom(SEED)
  const wrong: string[] = []
  for (let n = 0; n < MUTANTS; n++) {
    const mutant = mutateSomeTimes(HEADER, random)
    const { answer, storeCalls } = await visit(seal(mutant, payloadOf(session)))
    if (answer.statusCode !== (mutant === HEADER ? 200 : 401)) wrong.push(`${answer.statusCode} ${mutant}`)
    if (mutant !== HEADER && storeCalls.length > 0) wrong.push(`got through: ${mutant}`)
  }
  t.strictSame(wrong, [], `seed ${SEED}`)
})

t.test('a signed mutant of the payload is answered 200 only with the user and id of the session', async (t) => {
  const { visit, session } = await openSession(t)
  const random = createRandom(SEED)
  const wrong: string[] = []
  const statuses = new Set<number>()
  for (let n = 0; n < MUTANTS; n++) {
    const mutant = mutateSomeTimes(payloadOf(session, { role: '"admin, \u00e9"', level: '[1, {"a": null}]' }), random)
    const { answer } = await visit(seal(HEADER, mutant))
    statuses.add(answer.statusCode)
    const { sub, jti } = parse(mutant)
    const isAllowed = answer.statusCode === 401 || (answer.statusCode === 200 && sub === 'ada' && jti === session.id)
    if (!isAllowed) wrong.push(`${answer.statusCode} ${encode(mutant)}`)
  }
  t.strictSame(wrong, [], `seed ${SEED}`)
  t.strictSame([...statuses].sort(), [200, 401], 'both statuses occur')
})

function parse(json: string): { sub?: unknown; jti?: unknown } {
  try {
    return JSON.parse(json) ?? {}
  } catch {
    return {}
  }
}
