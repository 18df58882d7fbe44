import {
  createHmac,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
  verify as verifySignature
} from 'node:crypto'
import type { IncomingHttpHeaders } from 'node:http'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import type { IdentityOptions, User } from '../../lib/index.js'
import { createApp, logIn, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createFaults } from '../fixtures/faults.js'
import { createLog } from '../fixtures/log.js'
import { freezeClock, NOW, readPayload } from '../fixtures/tokens.js'

const url = '/user/verify'
const routes = { verify: {} }
const userSchema = Type.Object({ id: Type.String(), name: Type.String() })

const ADA: User = Object.assign({ id: 'ada' }, { name: 'Ada' })
const nameOf = (user: User) => ({ name: (user as { name?: unknown }).name })

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
const identity: IdentityOptions = { key, issuer: 'https://auth.example', audience: 'services' }

function tokenOf({ headers }: { headers: IncomingHttpHeaders | Record<string, unknown> }): string {
  return String(headers['session-token'])
}

function headerOf(token: string): unknown {
  return JSON.parse(Buffer.from(token.split('.')[0] ?? '', 'base64url').toString())
}

/** As a service verifies the token, which knows the public key and no library of ours. */
function isSigned(token: string, key: KeyObject): boolean {
  const end = token.lastIndexOf('.')
  return verifySignature(null, Buffer.from(token.slice(0, end)), key, Buffer.from(token.slice(end + 1), 'base64url'))
}

async function start(t: Test, options: Partial<IdentityOptions> = {}, logger?: object) {
  const given = { routes, userSchema, identity: { ...identity, ...options } }
  const app = await createApp(t, given, logger ? { logger } : {})
  const { token, session } = await app.sessions.create(ADA)
  return { app, token, session, verify: () => app.inject(withToken(token, { url })) }
}

t.test('a service verifies the identity token with the public key alone', async (t) => {
  freezeClock(t)
  const { verify, session } = await start(t)
  const answer = await verify()
  t.equal(answer.statusCode, 204)
  t.equal(answer.headers['session-user'], 'ada')
  const token = tokenOf(answer)
  t.strictSame(headerOf(token), { alg: 'EdDSA', typ: 'id+jwt' })
  const claims = { iss: 'https://auth.example', aud: 'services', sub: 'ada', iat: NOW, exp: NOW + 60 }
  t.strictSame(readPayload(token), claims)
  t.ok(isSigned(token, publicKey))
  t.ok(isSigned(token, createPublicKey(key)), 'the public key can be derived from the private key')
  t.notOk(isSigned(token, generateKeyPairSync('ed25519').publicKey))
  t.notOk(Buffer.from(token, 'base64url').includes(session.id), 'no id of the session')
})

t.test('every spelling of the key signs alike', async (t) => {
  const faults = createFaults()
  const keys = {
    text: key,
    bytes: Buffer.from(key),
    'Windows line ends': key.replaceAll('\n', '\r\n'),
    'a note in front': `# staging\n${key}`
  }
  for (const [name, key] of Object.entries(keys)) {
    const { verify } = await start(t, { key })
    faults.compare(name, isSigned(tokenOf(await verify()), publicKey), true)
  }
  faults.assertNone(t)
})

t.test('a secret signs with HS256', async (t) => {
  const key = 'a secret of the services, 32 bytes or more'
  for (const secret of [key, Buffer.from(key), new Uint8Array(Buffer.from(key))]) {
    const { verify } = await start(t, { key: secret })
    const [header, payload, mac] = tokenOf(await verify()).split('.')
    t.strictSame(headerOf(`${header}`), { alg: 'HS256', typ: 'id+jwt' })
    t.equal(mac, createHmac('sha256', key).update(`${header}.${payload}`).digest('base64url'))
  }
})

t.test('keyId, ttlSeconds and claims are in the token', async (t) => {
  freezeClock(t)
  const claims = (user: User) => ({ ...nameOf(user), [`of ${user.id}`]: [1], gone: undefined })
  const { verify } = await start(t, { keyId: 'k1', ttlSeconds: 5, claims })
  const token = tokenOf(await verify())
  t.strictSame(headerOf(token), { alg: 'EdDSA', typ: 'id+jwt', kid: 'k1' })
  const { iat, exp, ...rest } = readPayload(token)
  t.strictSame(rest, { name: 'Ada', 'of ada': [1], iss: 'https://auth.example', aud: 'services', sub: 'ada' })
  t.strictSame([iat, exp], [NOW, NOW + 5])
})

t.test('the token expires with the session at the latest', async (t) => {
  const clock = freezeClock(t)
  const app = await createApp(t, { routes, identity: { ...identity, ttlSeconds: 3_600 }, session: { ttlSeconds: 60 } })
  clock.now = NOW + 0.5
  const token = await logIn(app)
  for (const [second, exp] of [
    [0.5, 61],
    [59, 61],
    [60.499, 61]
  ] as const) {
    clock.now = NOW + second
    const claims = readPayload(tokenOf(await app.inject(withToken(token, { url }))))
    t.strictSame([claims.iat, claims.exp], [NOW + Math.floor(second), NOW + exp])
  }
})

t.test('each request has a token of the user of that moment', async (t) => {
  const { app, verify } = await start(t, { claims: nameOf })
  await app.sessions.updateUser('ada', { ...ADA, name: 'Countess' } as User)
  let name: unknown
  while (name !== 'Countess') name = readPayload(tokenOf(await verify())).name
  t.equal(name, 'Countess')
})

t.test('an identity token is no access token, and an access token no identity token', async (t) => {
  const { app, token, verify } = await start(t)
  const answer = await app.inject(withToken(tokenOf(await verify())))
  t.equal(answer.json().reason, 'invalid_token')
  t.notSame(headerOf(token), headerOf(tokenOf(await verify())))
})

t.test('a refusal, and a request without credentials, have no identity token', async (t) => {
  const { app } = await start(t)
  for (const request of [url, `${url}?optional=true`, withToken('garbage', { url }), `${url}?x=1`]) {
    const { headers } = await app.inject(request)
    t.notOk('session-token' in headers)
  }
})

t.test('without the option there is no identity token', async (t) => {
  const app = await createApp(t, { routes })
  t.notOk('session-token' in (await app.inject(withToken(await logIn(app), { url }))).headers)
})

t.test('claims that no token can have are a coded 500, and the session goes on', async (t) => {
  const WRONG: Record<string, () => unknown> = {
    'an exception': () => {
      throw new Error('hunter2')
    },
    'a thrown text': () => {
      throw 'hunter2'
    },
    nothing: () => undefined,
    null: () => null,
    text: () => 'hunter2',
    list: () => ['hunter2'],
    promise: async () => ({}),
    'a class': () => new Map(),
    BigInt: () => ({ n: 1n }),
    'too long': () => ({ text: 'x'.repeat(8_192) }),
    ...Object.fromEntries(
      ['iss', 'sub', 'aud', 'exp', 'nbf', 'iat', 'jti'].map((name) => [name, () => ({ [name]: 'hunter2' })])
    )
  }
  let claims: () => unknown = () => ({})
  const { lines, logger } = createLog()
  const { app, token, verify } = await start(t, { claims: () => claims() as Record<string, unknown> }, logger)
  for (const [name, wrong] of Object.entries(WRONG)) {
    lines.length = 0
    claims = wrong
    const answer = await verify()
    assertRefused(t, answer, { statusCode: 500, code: 'FST_JWT_SESSION_INVALID_CLAIMS' }, ['hunter2'])
    t.match(answer.json().message, '`identity.claims`')
    t.notOk('session-user' in answer.headers, `${name}: a refusal tells no user`)
    t.notOk(lines.join().includes('hunter2'), name)
    const logged = lines.map((line) => JSON.parse(line)).find(({ code }) => code === 'FST_JWT_SESSION_INVALID_CLAIMS')
    t.equal(logged?.level, 50)
    if (name.length === 3 && name !== 'BigInt') t.match(logged.cause, `The claim \`${name}\``)
    t.equal((await app.inject(withToken(token))).statusCode, 200)
  }
  claims = () => ({})
  t.equal((await verify()).statusCode, 204)
})

t.test('claims cannot change the session', async (t) => {
  const claims = (user: User) => Object.assign(user, { name: 'changed' }) && {}
  const { app, token, verify } = await start(t, { claims })
  await verify()
  t.equal((await app.inject(withToken(token))).json().user.name, 'Ada')
})
