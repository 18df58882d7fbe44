import { createSecretKey, generateKeyPairSync, randomBytes } from 'node:crypto'
import { inspect } from 'node:util'
import Fastify from 'fastify'
import t, { type Test } from 'tap'
import { fastifyJwtSession, InvalidOptionError, type JwtSessionOptions } from '../../lib/index.js'
import { SECRET } from '../fixtures/app.js'
import { createFaults } from '../fixtures/faults.js'
import { rsaKeys } from '../fixtures/rsa-keys.js'
import { assertAccepted, assertEnded, HEADER, openSession, payloadOf, seal, upstream } from '../fixtures/tokens.js'

let app = Fastify()

/**
 * The error of the plugin for `jwt` options, or undefined. Refused options leave the app unchanged, so tests share an
 * app: a thousand apps would be slow. `register()` is in options.test.ts.
 */
async function refusalOf(jwt: unknown): Promise<unknown> {
  try {
    await fastifyJwtSession(app, { jwt, upstream } as JwtSessionOptions)
  } catch (error) {
    return error
  }
  app = Fastify()
  return undefined
}

/** The faults in the error for a secret. The error must not have the text of the secret. */
async function faultsOf(option: unknown, text: string): Promise<string[]> {
  const error = await refusalOf({ secret: option })
  if (!(error instanceof InvalidOptionError)) return [`refused with ${inspect(error)}`]
  const { code, statusCode } = error
  const expected = 'FST_JWT_SESSION_INVALID_OPTION of jwt.secret, 500'
  const printed = inspect(error, { depth: 9 }) + JSON.stringify(error)
  return [
    ...(`${code} of ${error.option}, ${statusCode}` === expected ? [] : [printed]),
    ...(text.length >= 16 && printed.includes(text.slice(0, 16)) ? ['the secret is repeated'] : [])
  ]
}

async function assertRefused(t: Test, secret: unknown, ...more: unknown[]): Promise<void> {
  const text = Buffer.isBuffer(secret) || typeof secret === 'string' ? secret.toString() : ''
  const faults = createFaults()
  for (const option of [secret, ...more]) faults.note(inspect(option).slice(0, 80), await faultsOf(option, text))
  faults.assertNone(t)
}

/** The secret alone, in an array, and before and after a valid secret. */
function inEveryPlace(secret: unknown): [unknown, ...unknown[]] {
  return [secret, [secret], [SECRET, secret], [secret, SECRET]]
}

t.test('there is no default secret', async (t) => {
  for (const jwt of [undefined, null, {}, [], SECRET]) {
    t.match(await refusalOf(jwt), { code: 'FST_JWT_SESSION_INVALID_OPTION' }, inspect(jwt))
  }
  for (const secret of [undefined, null, []]) {
    t.match(
      await refusalOf({ secret }),
      { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'jwt.secret' },
      inspect(secret)
    )
  }
})

t.test('a secret must be a string or bytes', async (t) => {
  const bytes = randomBytes(32)
  const ed25519 = generateKeyPairSync('ed25519')
  const values: unknown[] = [
    '\ud800'.repeat(32),
    ...[undefined, null, 0, 1, 1n, Number.NaN, true, false, {}, [], [[SECRET]], Symbol('x'), new Date(), /x/],
    ...[
      () => SECRET,
      async () => SECRET,
      Promise.resolve(SECRET),
      Object(SECRET),
      new Uint16Array(bytes),
      bytes.buffer
    ],
    ...[{ toString: () => SECRET }, { public: SECRET, private: SECRET }, { key: SECRET }, { length: 32 }],
    ...[createSecretKey(bytes), ed25519.publicKey, new Map([['key', SECRET]]), new Set([SECRET])]
  ]
  for (const value of values) {
    await t.test(inspect(value, { depth: 0 }).split('\n')[0] ?? '', async (t) =>
      assertRefused(t, ...inEveryPlace(value))
    )
  }
})

t.test('an array of secrets with a hole is refused', async (t) => {
  for (const at of [0, 1, 2]) {
    const secrets = [SECRET, SECRET, SECRET]
    delete secrets[at]
    await assertRefused(t, secrets)
  }
  await assertRefused(t, new Array(2))
})

t.test('a secret that is short, empty or one byte repeated is refused', async (t) => {
  const short = ['', ' ', 'x', 'secret', 'changeme', SECRET.slice(0, 31), '\u00e9'.repeat(15)]
  const repeated = ['a'.repeat(32), ' '.repeat(40), '\0'.repeat(32), 'x'.repeat(1_000)]
  const buffers = [0, 1, 31].map((length) => randomBytes(length))
  const repeatedBuffers = [Buffer.alloc(32), Buffer.alloc(64), Buffer.alloc(32, 0xff)]
  for (const secret of [...short, ...repeated, ...buffers, ...repeatedBuffers]) {
    await t.test(inspect(secret).slice(0, 40), async (t) => assertRefused(t, ...inEveryPlace(secret)))
  }
})

t.test('the text of a public key, a private key or a certificate is refused, also after other text', async (t) => {
  const rsa = rsaKeys
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ed25519 = generateKeyPairSync('ed25519')
  const base64 = randomBytes(96).toString('base64')
  const armoured = (label: string) => `-----BEGIN ${label}-----\n${base64}\n-----END ${label}-----\n`
  const jwks = [rsa, ec, ed25519].map(({ publicKey }) => publicKey.export({ format: 'jwk' }))
  const [jwk] = jwks
  const keys = [
    ...[rsa, ec, ed25519].map(({ publicKey }) => publicKey.export({ format: 'pem', type: 'spki' }).toString()),
    ...[rsa, ec, ed25519].map(({ privateKey }) => privateKey.export({ format: 'pem', type: 'pkcs8' }).toString()),
    rsa.publicKey.export({ format: 'pem', type: 'pkcs1' }).toString(),
    ...['CERTIFICATE', 'X509 CERTIFICATE', 'TRUSTED CERTIFICATE', 'CERTIFICATE REQUEST', 'PKCS7', 'X509 CRL'].map(
      armoured
    ),
    ...['PGP PUBLIC KEY BLOCK', 'OPENSSH PRIVATE KEY', 'ENCRYPTED PRIVATE KEY', 'EC PARAMETERS', 'COMMENT'].map(
      armoured
    ),
    ...jwks.flatMap((key) => [JSON.stringify(key), JSON.stringify(key, null, 2), JSON.stringify({ ...key, kid: '1' })]),
    ...[JSON.stringify({ keys: jwks }), JSON.stringify(jwks), JSON.stringify(jwk).replaceAll(':', ' :\t')],
    JSON.stringify({ k: randomBytes(32).toString('base64url'), kty: 'oct' }),
    JSON.stringify(JSON.stringify(jwk)),
    JSON.stringify(jwk).replaceAll('"', "'"),
    JSON.stringify(jwk).replaceAll('"', ''),
    `---- BEGIN SSH2 PUBLIC KEY ----\n${base64}`,
    `PuTTY-User-Key-File-3: ssh-ed25519\n${base64}`,
    `ssh-rsa\tAAAA${base64}`,
    ...[
      'ssh-ed448',
      'ssh-rsa-cert-v01@openssh.com',
      'sk-ssh-ed25519@openssh.com',
      'sk-ecdsa-sha2-nistp256@openssh.com'
    ].map((type) => `${type}  AAAA${base64}`),
    ...['ssh-rsa', 'ssh-dss', 'ssh-ed25519', 'ecdsa-sha2-nistp256', 'ecdsa-sha2-nistp521'].map(
      (type) => `${type} AAAA${base64} ada@example`
    )
  ]
  const prefixes = [
    ...[
      '',
      ' ',
      '\n\n',
      '\r\n\t',
      '\ufeff',
      '\0',
      '\u200b',
      '.',
      '# a comment\n',
      '// ',
      'key=',
      '"',
      'no-pty ',
      `${SECRET}\n`
    ],
    ...['Bag Attributes\n    localKeyID: 01\n', armoured('COMMENT'), 'x'.repeat(10_000)]
  ]
  for (const key of keys) {
    await t.test(key.slice(0, 40), async (t) => {
      const lineEnds = ['\r\n', '\r', '\\n'].map((lineEnd) => key.replaceAll('\n', lineEnd))
      const inside = Buffer.concat([randomBytes(64), Buffer.from(key), randomBytes(64)])
      await assertRefused(t, ...inEveryPlace(key), Buffer.from(key), key.trim(), inside, ...lineEnds)
      await assertRefused(t, key, ...prefixes.map((prefix) => prefix + key))
    })
  }
})

t.test('a public key in bytes is refused', async (t) => {
  const { publicKey } = rsaKeys
  for (const type of ['spki', 'pkcs1'] as const) {
    await assertRefused(t, ...inEveryPlace(publicKey.export({ format: 'der', type })))
  }
})

t.test('a secret of any 32 bytes is accepted', async (t) => {
  const bytes = Buffer.from([...Array(32).keys()])
  const secrets = [
    bytes,
    Buffer.from(`${'ff'.repeat(31)}fe`, 'hex'),
    SECRET.slice(0, 32),
    '\u00e9\u20ac'.repeat(7),
    `${'\0'.repeat(31)}x`
  ]
  const longer = [
    randomBytes(1_024),
    randomBytes(48).toString('base64'),
    '{"some":"json of 32 bytes or more"}',
    'ssh-rsa is what it begins with, no more'
  ]
  for (const secret of [...secrets, ...longer]) {
    const { visit, session, token } = await openSession(t, { jwt: { secret } })
    assertAccepted(t, await visit(token))
    assertAccepted(t, await visit(seal(HEADER, payloadOf(session), { secret })))
    assertEnded(t, await visit(seal(HEADER, payloadOf(session))), 'invalid_token')
  }
  const asText = await openSession(t, { jwt: { secret: SECRET } })
  const { visit } = await openSession(t, { jwt: { secret: Buffer.from(SECRET) } })
  assertEnded(t, await visit(asText.token), 'unknown')
})
