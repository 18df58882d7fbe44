import { SECRET } from '../../fixtures/app.js'
import { encode, HEADER, seal, signed } from '../../fixtures/tokens.js'
import type { IssuedToken } from './issued-tokens.js'
import type { Random } from './random.js'
import type { Mutation } from './spelling-mutations.js'

const OTHER_SECRETS = [
  '',
  'x',
  'secret',
  ` ${SECRET}`,
  `${SECRET}\n`,
  SECRET.slice(0, -1),
  SECRET.toUpperCase(),
  encode(SECRET),
  encode(HEADER),
  'another secret of 32 bytes or more'
]
const DIGESTS: Record<string, string> = { HS384: 'sha384', HS512: 'sha512', HS1: 'sha1' }

/** Tokens signed with a secret of another app. */
export const forgedMutations: Record<string, Mutation> = {
  'claims signed with another secret': (base, random, issued) =>
    seal(HEADER, claimsOf(random.pick([base, random.pick(issued)]), random.pick(CHANGES)(random, base)), {
      secret: random.pick(OTHER_SECRETS)
    }),
  'claims changed under the old signature': ({ token, session }, random, issued) => {
    const [header, , signature] = token.split('.')
    const changes = random.pick(CHANGES)(random, random.pick(issued))
    return `${header}.${encode(claimsOf({ session }, changes))}.${signature}`
  },
  'a header rewritten over the old signature': ({ token }, random) => {
    const [, payload, signature] = token.split('.')
    return `${encode(randomHeader(random).text)}.${payload}.${random.oneIn(3) ? '' : signature}`
  }
}

/** Tokens signed with the app's secret, without a session. */
export const signedMutations: Record<string, Mutation> = {
  'a header rewritten and signed': ({ token }, random) => {
    const { text, digest } = randomHeader(random)
    return signed(`${encode(text)}.${token.split('.')[1]}`, { digest })
  },
  'claims changed and signed': (base, random, issued) => {
    const wrong = random.pick(WRONG_CHANGES)(random, otherThan(base, random, issued))
    return seal(HEADER, claimsOf(base, wrong))
  },
  'a payload that is none, signed': ({ session }, random) => {
    const text = claimsOf({ session }, {})
    const payloads = [
      '',
      'null',
      '1',
      '[]',
      '"x"',
      '{',
      `[${text}]`,
      JSON.stringify(text),
      `${text}${text}`,
      text.slice(1)
    ]
    const broken = Buffer.concat([Buffer.from(text.slice(0, -1)), Buffer.from(',"x":"\xff"}', 'latin1')])
    return seal(HEADER, random.oneIn(4) ? broken : random.pick(payloads))
  }
}

type Changes = Record<string, unknown>

/** The claims of the base token with changes; undefined removes a claim. */
function claimsOf({ session }: Pick<IssuedToken, 'session'>, changes: Changes): string {
  const exp = Math.ceil(session.expiresAt / 1_000)
  const iat = Math.ceil(session.createdAt / 1_000)
  return JSON.stringify({ sub: session.user.id, exp, iat, jti: session.id, ...changes })
}

function otherThan(base: IssuedToken, random: Random, issued: readonly IssuedToken[]): IssuedToken {
  const others = issued.filter(({ session }) => session.user.id !== base.session.user.id)
  return random.pick(others)
}

const NO_TEXT: unknown[] = [undefined, null, '', 1, true, [], {}, 'x', ['ada'], { toString: 'ada' }]
const NO_TIME: unknown[] = [undefined, null, '', '9e9', true, [], {}, -1, 0, 1e300, [1e9]]
const DAY = 86_400

/** Changes that make the claims invalid. */
const WRONG_CHANGES: ((random: Random, other: IssuedToken) => Changes)[] = [
  (_random, { session }) => ({ sub: session.user.id }),
  (_random, { session }) => ({ jti: session.id }),
  (_random, { session }) => ({ jti: session.id.slice(0, -1) + (session.id.endsWith('A') ? 'B' : 'A') }),
  (random) => ({ sub: random.pick(NO_TEXT) }),
  (random) => ({ jti: random.pick(NO_TEXT) }),
  (random) => ({ exp: random.pick(NO_TIME) }),
  // Any other number is accepted: the signature is valid, and `iat` is not compared with the session.
  (random) => ({ iat: random.pick(NO_TIME.filter((time) => !Number.isFinite(time))) }),
  (random) => ({ exp: now() - random.below(DAY) }),
  (random) => ({ exp: now() + DAY + random.below(DAY) }),
  (random) => ({ nbf: random.pick([now() + 60 + random.below(DAY), '0', null, true, [], {}]) })
]

const CHANGES: typeof WRONG_CHANGES = [...WRONG_CHANGES, () => ({}), () => ({ role: 'admin' })]

function now(): number {
  return Math.floor(Date.now() / 1_000)
}

const ALGORITHMS = [
  'none',
  'None',
  'nOnE',
  '',
  'HS384',
  'HS512',
  'HS1',
  'hs256',
  'RS256',
  'ES256',
  'PS256',
  'EdDSA',
  'A128KW'
]
const MORE_FIELDS = [
  { crit: ['exp'] },
  { crit: [] },
  { b64: false, crit: ['b64'] },
  { kid: '../../../../dev/null' },
  { kid: "' OR 1=1 --" },
  { jku: 'http://127.0.0.1:1/keys' },
  { x5u: 'http://127.0.0.1:1/key' },
  { x5c: ['AAAA'] },
  { jwk: { kty: 'oct', k: 'AAAA' } },
  { zip: 'DEF' },
  { cty: 'JWT' },
  { typ: 'JWT' },
  { typ: 'AT+JWT' },
  { typ: 'application/at+jwt' },
  { typ: undefined },
  { alg: undefined },
  { alg: ['HS256'] },
  { alg: null }
]

/** A header that the app never writes, and the digest of the algorithm in the header. */
function randomHeader(random: Random): { text: string; digest: string } {
  const alg = random.oneIn(2) ? random.pick(ALGORITHMS) : 'HS256'
  const fields = { alg, typ: 'at+jwt', ...(alg === 'HS256' || random.oneIn(2) ? random.pick(MORE_FIELDS) : {}) }
  const entries = Object.entries(fields)
  const text = random.pick([
    JSON.stringify(fields),
    JSON.stringify(fields, null, 1),
    JSON.stringify(Object.fromEntries(entries.toReversed())),
    `${JSON.stringify(fields)} `,
    `[${HEADER}]`,
    HEADER.replace('}', ',"alg":"none"}'),
    HEADER.replace('{', '{"alg":"none",'),
    HEADER.replace('alg', '\\u0061lg')
  ])
  return { text, digest: DIGESTS[alg] ?? 'sha256' }
}
