import t from 'tap'
import { Type } from 'typebox'
import type { JwtSessionOptions } from '../../lib/index.js'
import { SECRET } from '../fixtures/app.js'
import { assertAccepted, createGuardedApp, HEADER, NOW, openSession, readPayload, TTL } from '../fixtures/tokens.js'

const ISSUER = 'https://issuer.example'
const AUDIENCE = 'https://api.example'

type Claims = NonNullable<JwtSessionOptions['jwt']['claims']>

t.test('a token has the ids of the user and the session, two times, and no other claim', async (t) => {
  const { visit, session, token } = await openSession(t)
  const [header = ''] = token.split('.')
  t.equal(Buffer.from(header, 'base64url').toString(), HEADER)
  t.strictSame(readPayload(token), { sub: 'ada', jti: session.id, iat: NOW, exp: NOW + TTL })
  t.match(token, /^[\w-]+\.[\w-]+\.[\w-]{43}$/)
  assertAccepted(t, await visit(token))
})

t.test('a token has only the id of the user', async (t) => {
  const userSchema = Type.Object({ id: Type.String(), email: Type.String() })
  const { app } = await createGuardedApp(t, { userSchema })
  const { token, session } = await app.sessions.create({ id: 'ada', email: 'ada@example.com' } as { id: string })
  t.strictSame(Object.keys(readPayload(token)).sort(), ['exp', 'iat', 'jti', 'sub'])
  t.strictSame(session.user, { id: 'ada', email: 'ada@example.com' })
})

t.test('configured issuer, audience and claims are in the token', async (t) => {
  const claims: Claims = ({ id }) => ({ role: `role of ${id}`, list: [1, { deep: null }], gone: undefined })
  const { visit, session, token } = await openSession(t, {
    jwt: { secret: SECRET, issuer: ISSUER, audience: AUDIENCE, claims },
    session: { ttlSeconds: 60 }
  })
  t.strictSame(readPayload(token), {
    ...{ role: 'role of ada', list: [1, { deep: null }] },
    ...{ iss: ISSUER, aud: AUDIENCE, sub: 'ada', jti: session.id, iat: NOW, exp: NOW + 60 }
  })
  assertAccepted(t, await visit(token))
})

t.test('users with similar ids get different tokens', async (t) => {
  const ids = [
    'a',
    '1',
    '-1',
    'a:b',
    '*',
    '{}',
    '\0',
    '\r\n',
    '"',
    '\\',
    '__proto__',
    'constructor',
    'null',
    '\u00e9',
    'e\u0301',
    '\ud83d\ude00',
    ' ',
    'x'.repeat(256)
  ]
  const { app, visit } = await openSession(t)
  for (const id of ids) {
    const { token } = await app.sessions.create({ id })
    t.equal(readPayload(token).sub, id)
    t.equal((await visit(token)).answer.json().user.id, id)
  }
})

t.test('issuer and audience must be strings, and claims must be a function', async (t) => {
  for (const value of ['', null, 0, true, [], [ISSUER], {}, /x/, () => ISSUER]) {
    for (const option of ['issuer', 'audience']) {
      const jwt = { secret: SECRET, [option]: value }
      await t.rejects(createGuardedApp(t, { jwt }), { code: 'FST_JWT_SESSION_INVALID_OPTION', option: `jwt.${option}` })
    }
  }
  for (const claims of ['', null, {}, 'role', [], Promise.resolve({})]) {
    const jwt = { secret: SECRET, claims: claims as unknown as Claims }
    await t.rejects(createGuardedApp(t, { jwt }), { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'jwt.claims' })
  }
  for (const unknown of ['secrets', 'algorithm', 'algorithms', 'expiresIn', 'sign', 'verify', 'key', 'iss']) {
    const jwt = { secret: SECRET, [unknown]: 'x' }
    await t.rejects(createGuardedApp(t, { jwt }), { code: 'FST_JWT_SESSION_INVALID_OPTION', option: `jwt.${unknown}` })
  }
})
