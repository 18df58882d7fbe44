import { constants, createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import t from 'tap'
import { logout, SECRET, withToken } from '../fixtures/app.js'
import { rsaKeys } from '../fixtures/rsa-keys.js'
import {
  assertAccepted,
  assertEnded,
  assertInvalid,
  encode,
  HEADER,
  mac,
  openSession,
  payloadOf,
  seal,
  signed
} from '../fixtures/tokens.js'

t.test('a token that the test has signed is accepted', async (t) => {
  const { visit, session, token } = await openSession(t)
  assertAccepted(t, await visit(token))
  assertAccepted(t, await visit(seal(HEADER, payloadOf(session))))
})

t.test('`alg` none is refused in any spelling, with and without a signature', async (t) => {
  const opened = await openSession(t)
  const payload = encode(payloadOf(opened.session))
  const spellings = [
    'none',
    'None',
    'NONE',
    'nOnE',
    'none ',
    ' none',
    'none\u0000',
    'n\u043ene',
    '',
    'HS256,none',
    'NULL'
  ]
  const values = [
    ...spellings.map((name) => JSON.stringify(name)),
    '"\\u006eone"',
    'null',
    'false',
    '0',
    '[]',
    '["none"]'
  ]
  for (const alg of values) {
    const input = `${encode(`{"alg":${alg},"typ":"at+jwt"}`)}.${payload}`
    await assertInvalid(t, opened, {
      [`${alg} with an empty signature`]: `${input}.`,
      [`${alg} without the last segment`]: input,
      [`${alg} with the signature of a good token`]: `${input}.${opened.token.split('.')[2]}`,
      [`${alg} with a right HMAC`]: signed(input)
    })
  }
})

t.test('an algorithm other than HS256 is refused also with a correct signature', async (t) => {
  const opened = await openSession(t)
  const payload = payloadOf(opened.session)
  const rsa = rsaKeys
  const ec = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const ed25519 = generateKeyPairSync('ed25519')
  const signers: Record<string, (input: Buffer) => Buffer> = {
    RS256: (input) => sign('sha256', input, rsa.privateKey),
    RS512: (input) => sign('sha512', input, rsa.privateKey),
    PS256: (input) => sign('sha256', input, { key: rsa.privateKey, padding: constants.RSA_PKCS1_PSS_PADDING }),
    ES256: (input) => sign('sha256', input, { key: ec.privateKey, dsaEncoding: 'ieee-p1363' }),
    EdDSA: (input) => sign(null, input, ed25519.privateKey),
    Ed25519: (input) => sign(null, input, ed25519.privateKey)
  }
  const headerOf = (alg: string, more = {}) => JSON.stringify({ alg, typ: 'at+jwt', ...more })
  const publicKeyOf = (alg: string): KeyObject => (/^[RP]S/.test(alg) ? rsa : /^ES/.test(alg) ? ec : ed25519).publicKey

  for (const [alg, signer] of Object.entries(signers)) {
    const withSignature = (header: string) => {
      const input = `${encode(header)}.${encode(payload)}`
      return `${input}.${encode(signer(Buffer.from(input)))}`
    }
    await assertInvalid(t, opened, {
      [`${alg} with its own signature`]: withSignature(headerOf(alg)),
      [`${alg} with the public key in the header`]: withSignature(
        headerOf(alg, { jwk: publicKeyOf(alg).export({ format: 'jwk' }) })
      ),
      [`${alg} with the HMAC of HS256`]: seal(headerOf(alg), payload),
      [`HS256 with the signature of ${alg}`]: withSignature(HEADER)
    })
  }
  for (const [alg, digest] of Object.entries({ HS384: 'sha384', HS512: 'sha512', HS1: 'sha1', 'HS256/64': 'sha256' })) {
    const whole = seal(HEADER, payload, { digest })
    await assertInvalid(t, opened, {
      [`${alg} with its own HMAC`]: seal(headerOf(alg), payload, { digest }),
      ...(digest !== 'sha256' && { [`HS256 with the HMAC of ${alg}`]: whole }),
      [`${alg} with the HMAC of HS256`]: seal(headerOf(alg), payload)
    })
  }
})

t.test('HS256 with a wrong MAC is refused', async (t) => {
  const opened = await openSession(t)
  const input = `${encode(HEADER)}.${encode(payloadOf(opened.session))}`
  const [header = '', payload = '', own = ''] = opened.token.split('.')
  const { token: other } = await opened.app.sessions.create({ id: 'eve' })
  const firstBytes = (digest: string) => encode(Buffer.from(mac(input, { digest }), 'base64url').subarray(0, 32))
  await assertInvalid(t, opened, {
    'the first half of an HMAC with SHA-512': `${input}.${firstBytes('sha512')}`,
    'the start of an HMAC with SHA-384': `${input}.${firstBytes('sha384')}`,
    'an HMAC with SHA-512/256': signed(input, { digest: 'sha512-256' }),
    'an HMAC with SHA3-256': signed(input, { digest: 'sha3-256' }),
    'a bare hash': `${input}.${createHash('sha256').update(input).digest('base64url')}`,
    'a hash of secret and input': `${input}.${createHash('sha256')
      .update(SECRET + input)
      .digest('base64url')}`,
    'the HMAC of the payload alone': `${input}.${mac(payload)}`,
    'the HMAC of the header alone': `${input}.${mac(header)}`,
    'the HMAC of the JSON': `${input}.${mac(`${HEADER}.${payloadOf(opened.session)}`)}`,
    'the HMAC of the input with a full stop': `${input}.${mac(`${input}.`)}`,
    'the signature of another token': `${header}.${payload}.${other.split('.')[2]}`,
    'the payload of another token': `${header}.${other.split('.')[1]}.${own}`,
    zeros: `${input}.${encode(Buffer.alloc(32))}`,
    ones: `${input}.${encode(Buffer.alloc(32, 0xff))}`,
    nothing: `${input}.`,
    'its first character': `${input}.${own.slice(0, 1)}`,
    'its first 42 characters': `${input}.${mac(input).slice(0, -1)}`,
    'its first 31 bytes': `${input}.${encode(Buffer.from(mac(input), 'base64url').subarray(0, 31))}`,
    'its last 31 bytes': `${input}.${encode(Buffer.from(mac(input), 'base64url').subarray(1))}`,
    'itself and a byte': `${input}.${encode(Buffer.concat([Buffer.from(mac(input), 'base64url'), Buffer.alloc(1)]))}`,
    'itself twice': `${input}.${mac(input)}${mac(input)}`,
    'itself in hexadecimal': `${input}.${Buffer.from(mac(input), 'base64url').toString('hex')}`,
    'itself in capitals': `${input}.${mac(input).toUpperCase()}`,
    'another secret': signed(input, { secret: 'a secret of another app, 32 bytes long' }),
    'an empty secret': signed(input, { secret: '' }),
    'the start of the secret': signed(input, { secret: SECRET.slice(0, 32) }),
    'the secret and a line end': signed(input, { secret: `${SECRET}\n` }),
    'the secret in capitals': signed(input, { secret: SECRET.toUpperCase() }),
    'the secret in UTF-16': signed(input, { secret: Buffer.from(SECRET, 'utf16le') }),
    'the secret read as base64': signed(input, { secret: Buffer.from(SECRET, 'base64') }),
    'the word undefined': signed(input, { secret: 'undefined' })
  })
})

t.test('an invalid token ends no session at a login or a logout', async (t) => {
  const { app, visit, session, token } = await openSession(t)
  const payload = payloadOf(session)
  const tokens = [
    seal(HEADER, payload, { secret: 'a secret of another app, 32 bytes long' }),
    seal('{"alg":"HS256","typ":"JWT"}', payload),
    `${encode('{"alg":"none","typ":"at+jwt"}')}.${encode(payload)}.`,
    token.slice(0, -1)
  ]
  const login = { method: 'POST', url: '/user/login', payload: { username: 'eve', password: 'x' } } as const
  const { stackTraceLimit } = Error
  for (const wrong of tokens) {
    t.equal((await app.inject(logout(wrong))).statusCode, 204)
    t.equal((await app.inject(withToken(wrong, login))).statusCode, 200)
    assertAccepted(t, await visit(token))
  }
  t.equal(Error.stackTraceLimit, stackTraceLimit, 'the limit of the application is unchanged')
  t.equal((await app.inject(logout(seal(HEADER, payload)))).statusCode, 204)
  assertEnded(t, await visit(token), 'logged_out')
})
