import type { IssuedToken } from './issued-tokens.js'
import type { Random } from './random.js'

/** Makes a mutant of issued tokens. */
export type Mutation = (base: IssuedToken, random: Random, issued: readonly IssuedToken[]) => string

const BASE64URL = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
const ODD = '.=+/,;%"{}[]:\\\'$ \t\r\n\0\u007f\u0080\u00a0\u00ff\u0130\u017f\u212a\u200b\u2028\ufeff\ud83d'
const MAX_TOKEN_LENGTH = 8_192

/** Mutations without a secret and without decoding. */
export const spellingMutations: Record<string, Mutation> = {
  'bits flipped': ({ token }, random) =>
    someTimes(random, token, (text, at) =>
      put(text, at, String.fromCharCode(text.charCodeAt(at) ^ (1 << random.below(7))))
    ),
  'characters replaced': ({ token }, random) =>
    someTimes(random, token, (text, at) => put(text, at, characterOf(BASE64URL, random))),
  'characters taken out': ({ token }, random) => someTimes(random, token, (text, at) => put(text, at, '')),
  'characters put in': ({ token }, random) =>
    someTimes(random, token, (text, at) => put(text, at, characterOf(BASE64URL, random) + text.charAt(at))),
  'a piece twice': ({ token }, random) =>
    token.slice(0, random.below(token.length)) + token.slice(random.below(token.length)),
  truncated: ({ token }, random) =>
    token.slice(random.oneIn(4) ? random.below(token.length) : 0, random.below(token.length)),
  'odd characters': ({ token }, random) =>
    someTimes(random, token, (text, at) =>
      put(text, at, characterOf(ODD, random) + (random.oneIn(2) ? text.charAt(at) : ''))
    ),
  'odd characters around the token': ({ token }, random) =>
    random.oneIn(2) ? characterOf(ODD, random) + token : token + characterOf(ODD, random),
  'any letter case': ({ token }, random) =>
    random.pick([token.toLowerCase(), token.toUpperCase(), someTimes(random, token, swapCase)]),
  'segments of several tokens': (_base, random, issued) =>
    [0, 1, 2].map((index) => random.pick(issued).token.split('.')[index]).join('.'),
  'segments moved': ({ token }, random) => moveSegments(token.split('.'), random).join('.'),
  'the signature spelled otherwise': ({ token }, random) => respell(token, random),
  'very long': ({ token }, random) => lengthen(token, random),
  'any text': (_base, random) =>
    Array.from({ length: random.below(400) }, () =>
      characterOf(random.pick([BASE64URL, BASE64URL, ODD, '.']), random)
    ).join('')
}

function characterOf(characters: string, random: Random): string {
  return characters.charAt(random.below(characters.length))
}

function put(text: string, at: number, instead: string): string {
  return text.slice(0, at) + instead + text.slice(at + 1)
}

/** Applies a change one to three times, at random places. */
function someTimes(random: Random, token: string, change: (text: string, at: number) => string): string {
  let mutant = token
  for (let left = 1 + random.below(3); left > 0; left--) mutant = change(mutant, random.below(mutant.length))
  return mutant
}

function swapCase(text: string, at: number): string {
  const character = text.charAt(at)
  const lower = character.toLowerCase()
  return put(text, at, lower === character ? character.toUpperCase() : lower)
}

function moveSegments(segments: string[], random: Random): string[] {
  const from = random.below(3)
  const to = random.below(3)
  const segment = segments[from] as string
  return random.pick([
    segments.toReversed(),
    segments.with(to, segment),
    segments.with(to, ''),
    segments.toSpliced(to, 1),
    segments.toSpliced(to, 0, segment),
    [...segments, ''],
    ['', ...segments],
    [segment]
  ])
}

/** Other spellings of the signature for a lax decoder, or a signature with a changed last bit. */
function respell(token: string, random: Random): string {
  const end = token.lastIndexOf('.') + 1
  const start = token.slice(0, end)
  const signature = token.slice(end)
  const bytes = Buffer.from(signature, 'base64url')
  const last = BASE64URL.indexOf(signature.slice(-1))
  const strayBits = 1 + random.below(3)
  return random.pick([
    start + signature.slice(0, -1) + BASE64URL.charAt(last ^ strayBits),
    start + signature.slice(0, -1) + characterOf(BASE64URL, random),
    `${token}=`,
    `${token}==`,
    start + bytes.toString('base64'),
    start + bytes.toString('base64').replace('=', ''),
    start + bytes.toString('hex'),
    start + bytes.toString('latin1'),
    start + signature.replace(/.{20}/, '$&\n'),
    start + encodeURIComponent(bytes.toString('base64')),
    start + signature.replaceAll('-', '+').replaceAll('_', '/'),
    `${token}A`,
    start + Buffer.concat([bytes, Buffer.alloc(3)]).toString('base64url'),
    start + bytes.subarray(0, random.below(32)).toString('base64url')
  ])
}

function lengthen(token: string, random: Random): string {
  const [header = '', payload = '', signature = ''] = token.split('.')
  const length = random.pick([MAX_TOKEN_LENGTH - 1, MAX_TOKEN_LENGTH, MAX_TOKEN_LENGTH + 1, 2 * MAX_TOKEN_LENGTH])
  return random.pick([
    token.padEnd(length, 'A'),
    token.padStart(length, 'A'),
    `${header}.${payload.padEnd(length, 'A')}.${signature}`,
    `${header}.${payload}.${signature.padEnd(length, 'A')}`,
    `${header}.`.repeat(length / header.length),
    '.'.repeat(length),
    Array(20).fill(token).join('.')
  ])
}
