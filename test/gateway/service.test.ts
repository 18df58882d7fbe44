import { generateKeyPairSync, sign } from 'node:crypto'
import t, { type Test } from 'tap'
import { createService } from '../../examples/gateway/service.js'
import { createApp, logIn, withToken } from '../fixtures/app.js'
import { createFaults } from '../fixtures/faults.js'
import { encode, seal } from '../fixtures/tokens.js'

const { privateKey, publicKey } = generateKeyPairSync('ed25519')
const key = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string
const publicPem = publicKey.export({ type: 'spki', format: 'pem' }) as string
const trust = { publicKey: publicPem, issuer: 'https://auth.example', audience: 'main' }

async function startService(t: Test) {
  const service = await createService(trust)
  t.teardown(() => service.close())
  return (token?: string) =>
    service.inject({ url: '/me', headers: token === undefined ? {} : { 'session-token': token } })
}

const HEADER = { alg: 'EdDSA', typ: 'id+jwt' }
const NOW = Math.floor(Date.now() / 1_000)
const CLAIMS = { iss: trust.issuer, aud: trust.audience, sub: 'ada', iat: NOW, exp: NOW + 600 }

function signed(header: object, claims: object): string {
  const input = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(claims))}`
  return `${input}.${sign(null, Buffer.from(input), privateKey).toString('base64url')}`
}

t.test('the service takes the token of the verify route', async (t) => {
  const claims = () => ({ name: 'Ada', email: 'ada@example.com' })
  const identity = { key, issuer: trust.issuer, audience: trust.audience, claims }
  const app = await createApp(t, { routes: { verify: {} }, identity })
  const verified = await app.inject(withToken(await logIn(app), { url: '/user/verify' }))
  const call = await startService(t)
  const answer = await call(String(verified.headers['session-token']))
  t.strictSame([answer.statusCode, answer.json()], [200, { id: 'ada', name: 'Ada', email: 'ada@example.com' }])
})

t.test('the service takes no other token', async (t) => {
  const call = await startService(t)
  t.equal((await call(signed(HEADER, CLAIMS))).statusCode, 200)
  const app = await createApp(t)
  const tokens: Record<string, string | undefined> = {
    none: undefined,
    empty: '',
    garbage: 'garbage',
    'an access token': await logIn(app),
    'an access token of the same key': signed({ ...HEADER, typ: 'at+jwt' }, CLAIMS),
    'no type': signed({ alg: 'EdDSA' }, CLAIMS),
    'the public key as a secret': seal('{"alg":"HS256","typ":"id+jwt"}', JSON.stringify(CLAIMS), { secret: publicPem }),
    'no signature': `${encode('{"alg":"none","typ":"id+jwt"}')}.${encode(JSON.stringify(CLAIMS))}.`,
    expired: signed(HEADER, { ...CLAIMS, exp: NOW - 1 }),
    'no expiry': signed(HEADER, { ...CLAIMS, exp: undefined }),
    'no user': signed(HEADER, { ...CLAIMS, sub: undefined }),
    'another issuer': signed(HEADER, { ...CLAIMS, iss: 'https://evil.example' }),
    'no issuer': signed(HEADER, { ...CLAIMS, iss: undefined }),
    'another service': signed(HEADER, { ...CLAIMS, aud: 'other' }),
    'no audience': signed(HEADER, { ...CLAIMS, aud: undefined })
  }
  const faults = createFaults()
  for (const [name, token] of Object.entries(tokens)) {
    const { statusCode } = await call(token)
    faults.note(name, statusCode === 400 || statusCode === 401 ? [] : [`${statusCode}`])
  }
  faults.assertNone(t)
})
