import type { Random } from './random.js'

/** Members of an object in order: each key is JSON without the quotes, each value JSON. */
export type Entries = [key: string, json: string][]

const CHARACTERS = [
  ...'az09 _-.:@"\\/\'{}[]<>%&\t\n\r\0\u007f\u00e9\u0130\u200b\u202e\u2028\ufeff\uffff\u{1f511}\u{10ffff}',
  '\ud800',
  '\udc00'
]
const SCALARS = [
  'null',
  'true',
  'false',
  '0',
  '-0',
  '1',
  '1.5',
  '-1e400',
  '1e-400',
  '9007199254740993',
  '""',
  '"ada"',
  '"__proto__"'
]

/** A text of `min` to `max` code points, with odd characters at times. */
export function randomText(random: Random, min: number, max: number): string {
  const length = random.oneIn(8) ? random.pick([min, max]) : min + random.below(Math.min(max, 24))
  return Array.from({ length }, () => random.pick(CHARACTERS))
    .join('')
    .toWellFormed()
}

export function randomEntries(random: Random, depth: number): Entries {
  return Array.from({ length: random.below(5) }, () => [
    JSON.stringify(randomText(random, 0, 12)).slice(1, -1),
    randomJson(random, depth - 1)
  ])
}

export function randomJson(random: Random, depth: number): string {
  const kind = random.below(depth > 0 ? 4 : 2)
  if (kind === 0) return random.pick(SCALARS)
  if (kind === 1) return JSON.stringify(randomText(random, 0, 40))
  if (kind === 2) return `[${Array.from({ length: random.below(4) }, () => randomJson(random, depth - 1))}]`
  return jsonText(randomEntries(random, depth), random)
}

/** The object as JSON with random white space. */
export function jsonText(entries: Entries, random: Random): string {
  const space = random.pick(['', '', '', ' ', '\n', '\t \r\n'])
  return `{${space}${entries.map(([key, json]) => `"${key}"${space}:${space}${json}`).join(`${space},${space}`)}${space}}`
}
