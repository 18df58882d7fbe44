import { inspect } from 'node:util'
import t from 'tap'
import type { JwtSessionOptions } from '../../lib/index.js'
import { createApp, logIn, SECRET, withToken } from '../fixtures/app.js'
import {
  assertAccepted,
  createGuardedApp,
  createRecordingStore,
  freezeClock,
  HEADER,
  NOW,
  openSession,
  readPayload,
  TTL
} from '../fixtures/tokens.js'

const ISSUER = 'https://issuer.example'
const AUDIENCE = 'https://api.example'

type Claims = NonNullable<JwtSessionOptions['jwt']['claims']>

const login = { method: 'POST', url: '/user/login', payload: { username: 'ada', password: 'x' } } as const

t.test('jwt.claims cannot set a registered name, whether or not the plugin has a value for it', async (t) => {
  const claims: Claims = () => ({
    ...{ sub: 'eve', jti: 'A'.repeat(32), iat: 1, exp: 9_999_999_999, nbf: 9_999_999_999 },
    ...{ iss: 'https://evil.example', aud: ['https://evil.example'], role: 'admin', alg: 'none', typ: 'JWT' }
  })
  const own = { role: 'admin', alg: 'none', typ: 'JWT' }
  const bare = await openSession(t, { jwt: { secret: SECRET, claims } })
  const times = { iat: NOW, exp: NOW + TTL }
  t.strictSame(readPayload(bare.token), { ...own, sub: 'ada', jti: bare.session.id, ...times })
  t.equal(Buffer.from(bare.token.split('.')[0] ?? '', 'base64url').toString(), HEADER)
  assertAccepted(t, await bare.visit(bare.token))

  const full = await openSession(t, { jwt: { secret: SECRET, claims, issuer: ISSUER, audience: AUDIENCE } })
  const named = { iss: ISSUER, aud: AUDIENCE, sub: 'ada', jti: full.session.id }
  t.strictSame(readPayload(full.token), { ...own, ...named, ...times })
  assertAccepted(t, await full.visit(full.token))
})

t.test('claims of any name keep the token valid', async (t) => {
  const all: Claims[] = [
    () => ({}),
    () => Object.create(null),
    () => JSON.parse('{"__proto__":{"sub":"eve"},"constructor":{"prototype":{"isAdmin":true}}}'),
    () => ({ Sub: 'eve', SUB: 'eve', 'sub ': 'eve', '': 0, '\ud800': '\ud800', toString: 1, valueOf: null }),
    () => Object.freeze({ role: 'admin' }),
    () => ({
      expiresIn: 1,
      notBefore: '1h',
      kid: 'x',
      header: { alg: 'none' },
      mutatePayload: true,
      key: 'x',
      nonce: 'x'
    }),
    () => ({
      get role() {
        return 'admin'
      },
      when: new Date(0),
      list: new Set([1]),
      no: Symbol('x'),
      not: () => 1,
      nan: Number.NaN
    })
  ]
  for (const claims of all) {
    const { visit, token } = await openSession(t, { jwt: { secret: SECRET, claims } })
    assertAccepted(t, await visit(token))
    t.match(readPayload(token), { sub: 'ada', iat: NOW, exp: NOW + TTL })
  }
  t.equal(({} as { isAdmin?: boolean }).isAdmin, undefined)
})

t.test('a jwt.claims that returns no JSON object fails the login, and no session is opened', async (t) => {
  const circular: Record<string, unknown> = {}
  circular.self = circular
  const results: unknown[] = [
    undefined,
    null,
    true,
    0,
    1n,
    '',
    'role',
    [],
    [{}],
    Symbol('x'),
    () => ({}),
    /x/,
    new Date(0)
  ]
  results.push(
    Promise.resolve({ role: 'admin' }),
    new Map([['role', 'admin']]),
    new (class Claims {})(),
    Object.create({ role: 'admin' })
  )
  results.push(Object('text'), Buffer.from('{}'), new Error('x'))
  results.push({ big: 1n }, { deep: [{ big: 1n }] }, circular, { toJSON: 1, big: 1n }, { long: 'x'.repeat(8_192) })
  results.push(
    {
      toJSON() {
        throw new Error('private')
      }
    },
    {
      deep: {
        toJSON() {
          throw new Error('private')
        }
      }
    }
  )
  results.push({
    get role() {
      throw new Error('private')
    }
  })
  const functions: [string, () => unknown][] = [
    ...results.map((result): [string, () => unknown] => [`gives ${inspect(result).slice(0, 40)}`, () => result]),
    ['is async', async () => ({ role: 'admin' })],
    [
      'is a generator',
      function* () {
        yield 1
      }
    ],
    [
      'throws an error',
      () => {
        throw new Error('private')
      }
    ],
    [
      'throws an error with a status',
      () => {
        throw Object.assign(new Error('private'), { statusCode: 200, code: 'PRIVATE WORDS' })
      }
    ],
    [
      'throws undefined',
      () => {
        throw undefined
      }
    ],
    [
      'throws null',
      () => {
        throw null
      }
    ],
    [
      'throws a string',
      () => {
        throw 'private'
      }
    ],
    [
      'never comes back',
      function forEver(): unknown {
        return forEver()
      }
    ]
  ]
  for (const [name, claims] of functions) {
    await t.test(name, async (t) => {
      const { app, visit } = await createGuardedApp(t, { jwt: { secret: SECRET, claims: claims as Claims } })
      const { answer, storeCalls } = await visit(login)
      t.equal(answer.statusCode, 500)
      t.strictSame(answer.json(), {
        statusCode: 500,
        code: 'FST_JWT_SESSION_INVALID_CLAIMS',
        error: 'Internal Server Error',
        message: '`jwt.claims` must return a JSON object of a few KB at most'
      })
      t.strictSame(storeCalls, [], 'the store is not called')
      t.notOk(answer.headers['clear-site-data'] ?? answer.headers['session-ended'])
      await t.rejects(app.sessions.create({ id: 'ada' }), { code: 'FST_JWT_SESSION_INVALID_CLAIMS', statusCode: 500 })
    })
  }
})

t.test('a failure of jwt.claims in a later login does not end the first session', async (t) => {
  let isBroken = false
  const claims: Claims = () => (isBroken ? ([] as unknown as Record<string, unknown>) : { role: 'admin' })
  const { app, visit, token } = await openSession(t, { jwt: { secret: SECRET, claims } })
  isBroken = true
  t.equal((await app.inject(login)).statusCode, 500)
  assertAccepted(t, await visit(token))
})

t.test('claims may fill a token up to 8 KB, and a longer token fails the login', async (t) => {
  let length = 0
  const claims: Claims = () => ({ filling: 'x'.repeat(length) })
  const { app, visit, token } = await openSession(t, { jwt: { secret: SECRET, claims } })
  const empty = readPayload(token)
  length = 6_080 - JSON.stringify(empty).length
  const { token: longest } = await app.sessions.create({ id: 'ada' })
  t.equal(longest.length, 8_192)
  assertAccepted(t, await visit(longest))
  length++
  t.match((await visit(login)).answer.json(), { statusCode: 500, code: 'FST_JWT_SESSION_INVALID_CLAIMS' })
})

t.test('jwt.claims cannot change the user: not in the answer, the token or the session', async (t) => {
  const claims: Claims = (user) => {
    Object.assign(user, { id: 'eve', role: 'admin' })
    return {}
  }
  const { visit } = await openSession(t, { jwt: { secret: SECRET, claims } })
  const { access_token, user } = (await visit(login)).answer.json()
  t.strictSame(user, { id: 'ada' })
  const visited = await visit(access_token)
  assertAccepted(t, visited)
  t.strictSame(visited.answer.json().user, { id: 'ada' })
})

t.test('jwt.claims is called once per login, with the user, and never when a token is verified', async (t) => {
  freezeClock(t)
  const users: unknown[] = []
  const store = createRecordingStore(t)
  const claims: Claims = (...given: unknown[]) => {
    users.push(...given)
    return {}
  }
  const { app, visit } = await createGuardedApp(t, { store, jwt: { secret: SECRET, claims } })
  const token = (await app.inject(login)).json().access_token
  assertAccepted(t, await visit(token))
  t.strictSame(users, [{ id: 'ada' }])
})

t.test('a toJSON() among the claims does not change the claims of the plugin', async (t) => {
  const toJSON = () => ({ sub: 'eve', exp: 9_999_999_999, role: 'admin' })
  const app = await createApp(t, { jwt: { secret: SECRET, claims: () => ({ toJSON }) } })
  const token = await logIn(app)
  t.match(readPayload(token), { sub: 'ada', role: 'admin' })
  t.equal((await app.inject(withToken(token))).json().user.id, 'ada')
})
