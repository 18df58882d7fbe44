import { gzipSync } from 'node:zlib'
import { type Entries, jsonText, randomEntries, randomJson, randomText } from './json-texts.js'
import type { Random } from './random.js'

/** A body, and the declared content type. */
export interface Body {
  body: string | Buffer
  type?: string
}

const BODY_LIMIT = 16_384
const DECLARED = 'application/json'

/** Whether a request with the body must reach the upstream. */
export type Expected = 'accepted' | 'refused' | 'either'

/** The kinds of bodies. */
export const BODY_KINDS: Record<string, { expected: Expected; make(random: Random, isLogin: boolean): Body }> = {
  'as the schema says': {
    expected: 'accepted',
    make: (random, isLogin) => asJson(jsonText(goodEntries(random, isLogin), random))
  },
  'almost as the schema says': { expected: 'either', make: (random) => asJson(jsonText(almostGood(random), random)) },
  'any JSON': { expected: 'refused', make: (random) => asJson(notAnObjectOfOurs(random)) },
  'keys twice and keys with a meaning': {
    expected: 'either',
    make: (random) => asJson(jsonText(withMoreKeys(random), random))
  },
  'nested deeply': { expected: 'refused', make: (random) => asJson(nested(random)) },
  'bytes broken': { expected: 'either', make: (random) => ({ ...asJson(breakBytes(random)) }) },
  'any bytes': {
    expected: 'refused',
    make: (random) => asJson(Buffer.from(Array.from({ length: random.below(300) }, () => random.below(256))))
  },
  'around the limit of 16 KB': { expected: 'either', make: (random) => asJson(padded(random)) },
  'of an odd type': {
    expected: 'either',
    make: (random) => ({ body: jsonText(goodEntries(random, true), random), type: oddType(random) })
  },
  'of no type': { expected: 'refused', make: (random) => ({ body: jsonText(goodEntries(random, true), random) }) }
}

function asJson(body: string | Buffer): Body {
  return { body, type: DECLARED }
}

function goodEntries(random: Random, isLogin: boolean): Entries {
  const email: Entries = isLogin || random.oneIn(2) ? [] : [['email', JSON.stringify(randomText(random, 1, 254))]]
  return [
    ['username', JSON.stringify(randomText(random, 1, 256))],
    ['password', JSON.stringify(randomText(random, 1, 1_024))],
    ...email
  ]
}

function almostGood(random: Random): Entries {
  const entries = goodEntries(random, false)
  for (let left = 1 + random.below(2); left > 0; left--) {
    const at = random.below(entries.length)
    const [key = ''] = entries[at] ?? []
    entries.splice(at, random.below(2), [random.oneIn(4) ? respell(key, random) : key, wrongValue(random)])
  }
  return entries
}

function respell(key: string, random: Random): string {
  return random.pick([key.toUpperCase(), `${key} `, ` ${key}`, `${key}[]`, `${key}.0`, `$${key}`, `${key}\0`, ''])
}

function wrongValue(random: Random): string {
  const long = random.pick([255, 256, 257, 1_024, 1_025])
  const character = random.pick(['a', '\u00e9', '\u{1f511}', 'e\u0301', '\ud800', '\0'])
  return random.oneIn(2) ? JSON.stringify(character.repeat(long)) : randomJson(random, 2)
}

const KEYS_WITH_A_MEANING = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'valueOf',
  'toJSON',
  'hasOwnProperty',
  'then',
  'length',
  '$ref',
  '\\u005f_proto__',
  'usern\\u0061me',
  'id',
  'admin'
]

function withMoreKeys(random: Random): Entries {
  const entries = goodEntries(random, false)
  for (let left = 1 + random.below(3); left > 0; left--) {
    const key = random.oneIn(2) ? random.pick(['username', 'password', 'email']) : random.pick(KEYS_WITH_A_MEANING)
    const value = random.oneIn(3) ? '{"prototype":{"admin":true}}' : randomJson(random, 2)
    entries.splice(random.below(entries.length + 1), 0, [key, value])
  }
  return entries
}

/** JSON that is almost never an object with a username and a password. */
function notAnObjectOfOurs(random: Random): string {
  return random.oneIn(4) ? `[${randomJson(random, 3)}]` : jsonText(randomEntries(random, 3), random)
}

function nested(random: Random): string {
  const depth = random.pick([10, 100, 1_000, 5_000, 8_000])
  const [open, close] = random.pick([
    ['[', ']'],
    ['{"username":', '}'],
    ['{"__proto__":', '}']
  ]) as [string, string]
  const levels = Math.min(depth, Math.floor(BODY_LIMIT / (open.length + 2)))
  const inside = open.repeat(levels) + (random.oneIn(3) ? '' : `1${close.repeat(levels)}`)
  return random.oneIn(2) ? inside : `{"username":"ada","password":${inside}}`
}

function breakBytes(random: Random): Buffer {
  const whole = Buffer.from(jsonText(goodEntries(random, true), random))
  const at = random.below(whole.length)
  const noise = Buffer.from(Array.from({ length: 1 + random.below(4) }, () => random.below(256)))
  return random.pick([
    () => whole.subarray(0, at),
    () => Buffer.concat([whole.subarray(0, at), noise, whole.subarray(at)]),
    () => Buffer.concat([whole.subarray(0, at), noise, whole.subarray(at + noise.length)]),
    () => Buffer.concat([Buffer.from([0xef, 0xbb, 0xbf]), whole]),
    () => Buffer.concat([whole, noise]),
    () => Buffer.from(whole.toString(), 'utf16le'),
    () => gzipSync(whole)
  ])()
}

function padded(random: Random): string {
  const length = BODY_LIMIT - 1 + random.below(3)
  const good = jsonText(goodEntries(random, true), random)
  const missing = length - Buffer.byteLength(good)
  return random.oneIn(2) ? good + ' '.repeat(missing) : `${good.slice(0, -1)},"x":"${'x'.repeat(missing)}"}`
}

const ODD_TYPES = [
  'text/plain',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/jsonp',
  'application/json5',
  'application/vnd.api+json',
  'application/json, text/plain',
  'text/plain; application/json',
  'application/json; charset=utf-16',
  'application/json;',
  'APPLICATION/JSON',
  'application/json;a="',
  '__proto__',
  '*/*',
  '/',
  ';',
  ''
]

function oddType(random: Random): string {
  const type = random.pick([DECLARED, ...ODD_TYPES])
  if (random.oneIn(2)) return type
  const at = random.below(type.length + 1)
  const odd = random.pick([' ', '\t', ';', ',', '/', '"', '\\', '=', '\0', '\u00e9', 'x', 'application/json'])
  return type.slice(0, at) + odd + type.slice(at)
}
