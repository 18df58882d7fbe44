import { randomBytes } from 'node:crypto'
import t, { type Test } from 'tap'
import { SECRET } from '../fixtures/app.js'
import {
  assertAccepted,
  assertEnded,
  createGuardedApp,
  createRecordingStore,
  freezeClock,
  HEADER,
  mac,
  openSession,
  payloadOf,
  seal
} from '../fixtures/tokens.js'

const [OLD, NEW] = ['the old secret, of 32 bytes or more', 'the new secret, of 32 bytes or more']

t.test('changes of the secret after register() have no effect', async (t) => {
  const first = randomBytes(32)
  const second = randomBytes(32)
  const [firstCopy, secondCopy] = [Buffer.from(first), Buffer.from(second)]
  const secret = [first, second]
  const jwt = { secret, issuer: 'https://issuer.example' }
  const { app, visit, session, token } = await openSession(t, { jwt })
  t.strictSame(
    jwt,
    { secret: [firstCopy, secondCopy], issuer: 'https://issuer.example' },
    'register() does not change the options'
  )
  for (const buffer of secret.splice(0)) buffer.fill(7)
  secret.push(Buffer.from(SECRET))
  jwt.secret = [Buffer.from(SECRET)]
  jwt.issuer = 'https://evil.example'

  const payload = payloadOf(session, { iss: '"https://issuer.example"' })
  assertAccepted(t, await visit(token))
  assertAccepted(t, await visit((await app.sessions.create({ id: 'ada' })).token))
  for (const copy of [firstCopy, secondCopy]) assertAccepted(t, await visit(seal(HEADER, payload, { secret: copy })))
  for (const changed of [Buffer.alloc(32, 7), Buffer.from(SECRET), Buffer.alloc(32)]) {
    assertEnded(t, await visit(seal(HEADER, payload, { secret: changed })), 'invalid_token')
  }
})

t.test('the first secret signs, all secrets verify, and a removed secret does not', async (t) => {
  freezeClock(t)
  const store = createRecordingStore(t)
  const withSecrets = (secret: string | string[]) => createGuardedApp(t, { store, jwt: { secret } })
  const [before, during, after] = [await withSecrets(OLD), await withSecrets([NEW, OLD]), await withSecrets([NEW])]
  const { token: oldToken } = await before.app.sessions.create({ id: 'ada' })
  const { token: newToken } = await during.app.sessions.create({ id: 'ada' })
  assertSignedWith(t, oldToken, OLD)
  assertSignedWith(t, newToken, NEW)

  assertAccepted(t, await before.visit(oldToken))
  assertEnded(t, await before.visit(newToken), 'invalid_token')
  assertAccepted(t, await during.visit(oldToken))
  assertAccepted(t, await during.visit(newToken))
  assertAccepted(t, await after.visit(newToken))
  const refused = await after.visit(oldToken)
  assertEnded(t, refused, 'invalid_token')
  t.strictSame(refused.storeCalls, [])
})

t.test('each of many secrets verifies only the tokens that were signed with the secret', async (t) => {
  const secrets = Array.from({ length: 12 }, () => randomBytes(32))
  const { visit, session, token } = await openSession(t, { jwt: { secret: [...secrets, secrets[0] ?? ''] } })
  assertSignedWith(t, token, secrets[0] ?? '')
  for (const secret of secrets) {
    assertAccepted(t, await visit(seal(HEADER, payloadOf(session), { secret })))
    const [header, payload] = token.split('.')
    const changed = seal(HEADER, payloadOf(session, { sub: '"eve"' }), { secret }).split('.')[2]
    assertEnded(t, await visit(`${header}.${payload}.${changed}`), 'invalid_token')
    assertEnded(t, await visit(seal(HEADER, payloadOf(session, { iat: undefined }), { secret })), 'invalid_token')
  }
  for (const secret of [Buffer.concat(secrets), Buffer.alloc(0), randomBytes(32), secrets.join()]) {
    assertEnded(t, await visit(seal(HEADER, payloadOf(session), { secret })), 'invalid_token')
  }
})

function assertSignedWith(t: Test, token: string, secret: string | Buffer): void {
  const end = token.lastIndexOf('.')
  t.equal(token.slice(end + 1), mac(token.slice(0, end), { secret }))
}
