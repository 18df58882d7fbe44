import t from 'tap'
import { type TObject, Type } from 'typebox'
import { CredentialsRejectedError, createMemoryStore, type SessionStore } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { startUpstream } from '../fixtures/upstream.js'

const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }
const CANARY = 'upstream-only'

const address = Type.Object({ city: Type.String(), zip: Type.Optional(Type.String()) })
const userSchema = Type.Object({
  id: Type.String(),
  name: Type.Optional(Type.String()),
  address: Type.Optional(address),
  roles: Type.Optional(Type.Array(Type.Object({ name: Type.String() }))),
  tags: Type.Optional(Type.Array(Type.String())),
  parent: Type.Optional(Type.Union([Type.Null(), Type.Object({ id: Type.String() })])),
  flags: Type.Optional(Type.Record(Type.String(), Type.Object({ on: Type.Boolean() }))),
  pair: Type.Optional(Type.Tuple([Type.Object({ a: Type.Number() }), Type.Number()])),
  both: Type.Optional(Type.Intersect([Type.Object({ a: Type.Number() }), Type.Object({ b: Type.Number() })]))
})

const extra = { secret: CANARY, [CANARY]: 1 }

/** Users of the upstream, with the fields that remain. */
const CLEANED: Record<string, [given: object, kept: object]> = {
  'nothing but the id': [{ ...extra, id: 'ada', email: 'x' }, { id: 'ada' }],
  'optional fields': [
    { id: 'ada', name: 'Ada', ...extra },
    { id: 'ada', name: 'Ada' }
  ],
  'nested fields': [
    { id: 'ada', address: { city: 'London', ...extra, zip: 'W1', geo: extra } },
    { id: 'ada', address: { city: 'London', zip: 'W1' } }
  ],
  'fields in arrays': [
    {
      id: 'ada',
      roles: [
        { name: 'admin', ...extra },
        { ...extra, name: 'dev' }
      ],
      tags: ['a', 'b']
    },
    { id: 'ada', roles: [{ name: 'admin' }, { name: 'dev' }], tags: ['a', 'b'] }
  ],
  'fields in a union': [
    { id: 'ada', parent: { id: 'eve', ...extra } },
    { id: 'ada', parent: { id: 'eve' } }
  ],
  'null in a union': [
    { id: 'ada', parent: null },
    { id: 'ada', parent: null }
  ],
  'fields in a record': [
    { id: 'ada', flags: { beta: { on: true, ...extra } } },
    { id: 'ada', flags: { beta: { on: true } } }
  ],
  'fields in a tuple': [
    { id: 'ada', pair: [{ a: 1, ...extra }, 2] },
    { id: 'ada', pair: [{ a: 1 }, 2] }
  ],
  'fields in an intersection': [
    { id: 'ada', both: { a: 1, b: 2, ...extra } },
    { id: 'ada', both: { a: 1, b: 2 } }
  ],
  'an integer id': [
    { id: 7, name: 'Ada', ...extra },
    { id: '7', name: 'Ada' }
  ]
}

t.test('only fields of userSchema are in the reply, the token and the store', async (t) => {
  const upstream = await startRawUpstream(t)
  const records: string[] = []
  const memory = createMemoryStore()
  const store = {
    ...memory,
    create(...args: Parameters<SessionStore['create']>) {
      records.push(args[1])
      return memory.create(...args)
    }
  }
  const { lines, logger } = createLog()
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl }, userSchema, store }, { logger })
  const headers = [
    ...[
      'set-cookie: session=upstream-only',
      'www-authenticate: upstream-only',
      'x-user: upstream-only',
      'retry-after: 77'
    ],
    ...['clear-site-data: "upstream-only"', 'session-ended: upstream-only', 'authorization: upstream-only', 'vary: x'],
    ...['access-control-allow-origin: upstream-only', 'location: /upstream-only', 'etag: "upstream-only"', 'age: 77'],
    ...['cache-control: public, max-age=777', 'content-disposition: attachment', 'server: upstream-only']
  ]
  for (const [name, [given, kept]] of Object.entries(CLEANED)) {
    for (const route of ['login', 'register']) {
      upstream.answers.push(response(200, JSON.stringify({ user: given, access_token: CANARY, ...extra }), headers))
      const answer = await app.inject(postJson(`/user/${route}`, CREDENTIALS))
      const { user, access_token: token, ...rest } = answer.json()
      t.strictSame(user, kept, name)
      t.strictSame(rest, route === 'login' ? { token_type: 'Bearer', expires_in: 43_200 } : {})
      t.strictSame(
        Object.keys(answer.headers).sort(),
        ['cache-control', 'connection', 'content-length', 'content-type', 'date'],
        'no header of the upstream'
      )
      t.equal(answer.headers['cache-control'], 'no-store')
      if (route === 'register') continue
      const claims = Buffer.from(token.split('.')[1], 'base64url').toString()
      t.strictSame(Object.keys(JSON.parse(claims)).sort(), ['exp', 'iat', 'jti', 'sub'])
      t.strictSame((await app.inject(withToken(token))).json().user, kept)
      t.strictSame(
        [answer.body, claims, records.at(-1)].filter((text) => text?.includes(CANARY)),
        []
      )
    }
  }
  t.equal(records.length, Object.keys(CLEANED).length)
  t.strictSame(
    lines.filter((line) => line.includes(CANARY)),
    [],
    'the log has no undeclared field'
  )
})

t.test('a default of userSchema is in the answer and in the session', async (t) => {
  const upstream = await startRawUpstream(t)
  const roles = Type.Array(Type.Object({ name: Type.String(), level: Type.Number({ default: 1 }) }), { default: [] })
  const withRoles: TObject = Type.Object({ id: Type.String(), plan: Type.String({ default: 'free' }), roles })
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl }, userSchema: withRoles })
  for (const [given, kept] of [
    [{ id: 'ada' }, { id: 'ada', plan: 'free', roles: [] }],
    [
      { id: 'eve', plan: 'pro', roles: [{ name: 'admin', ...extra }] },
      { id: 'eve', plan: 'pro', roles: [{ name: 'admin', level: 1 }] }
    ]
  ]) {
    upstream.answers.push(response(200, JSON.stringify({ user: given })))
    const answer = (await app.inject(postJson('/user/login', CREDENTIALS))).json()
    t.strictSame(answer.user, kept)
    t.strictSame((await app.inject(withToken(answer.access_token))).json().user, kept)
  }
})

t.test('a user that does not match userSchema is 502, and no field is coerced', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl }, userSchema })
  for (const wrong of [
    { name: 1 },
    { name: null },
    { address: {} },
    { address: null },
    { address: { city: 1 } },
    { address: [] },
    { roles: {} },
    { roles: [null] },
    { roles: [{}] },
    { tags: 'a' },
    { tags: [1] },
    { parent: {} },
    { flags: { beta: { on: 'true' } } },
    { pair: [{ a: 1 }] },
    { both: { a: 1 } }
  ]) {
    upstream.answers.push(response(200, JSON.stringify({ user: { id: 'ada', ...wrong } })))
    const answer = await app.inject(postJson('/user/login', CREDENTIALS))
    t.equal(answer.statusCode, 502, JSON.stringify(wrong))
    assertRefused(t, answer, INVALID, ['ada'])
  }
})

t.test('a `__proto__` key in the body pollutes no prototype', async (t) => {
  const upstream = await startRawUpstream(t)
  const open: TObject = Type.Object({ id: Type.String(), any: Type.Optional(Type.Unknown()) })
  const seen: unknown[] = []
  const selectUser = (body: { user: object }) => {
    seen.push(body)
    // Object.assign is where an own `__proto__` key does harm.
    return Object.assign({}, body.user)
  }
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, selectUser }, userSchema: open })
  const poison = '"__proto__":{"isAdmin":true,"id":"eve"},"constructor":{"prototype":{"isAdmin":true}}'
  const escaped = '"\\u005f_proto__":{"isAdmin":true}'
  upstream.answers.push(
    response(
      200,
      `{${poison},${escaped},"user":{"id":"ada",${poison},${escaped},"any":{${poison},"deep":[{${poison}}]}}}`
    )
  )
  const answer = await app.inject(postJson('/user/login', CREDENTIALS))
  t.equal(answer.statusCode, 200)
  t.equal(answer.json().user.id, 'ada')
  t.notMatch(answer.body, /__proto__/)
  t.equal(({} as { isAdmin?: boolean }).isAdmin, undefined)
  t.notMatch(JSON.stringify(seen), /__proto__/)
  t.equal((seen[0] as { isAdmin?: boolean }).isAdmin, undefined)
})

t.test('selectUser chooses the user, and every other result is 502', async (t) => {
  const upstream = await startRawUpstream(t)
  let select = (_body: { data: unknown }): unknown => undefined
  const { lines, logger } = createLog()
  const selectUser = (body: { data: unknown }) => select(body)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, selectUser } }, { logger })
  const logIn = async (selected: typeof select) => {
    select = selected
    upstream.answers.push(response(200, `{"data":{"id":7,"secret":"${CANARY}"},"user":{"id":"eve"}}`))
    return app.inject(postJson('/user/login', CREDENTIALS))
  }
  t.strictSame((await logIn(({ data }) => data)).json().user, { id: '7' })
  t.strictSame((await logIn(() => Object.freeze({ id: 7, frozen: true }))).json().user, { id: '7' })
  const circular: Record<string, unknown> = { id: 'ada' }
  circular.self = circular
  for (const value of [
    undefined,
    null,
    true,
    7,
    'ada',
    [],
    [{ id: 'ada' }],
    {},
    () => ({ id: 'ada' }),
    Symbol('ada')
  ]) {
    assertRefused(t, await logIn(() => value), INVALID)
  }
  for (const value of [circular, { id: 7n }, new Map([['id', 'ada']]), new Date()]) {
    assertRefused(t, await logIn(() => value), INVALID)
  }
  for (const thrown of [new TypeError(CANARY), CANARY, undefined, { statusCode: 200, message: CANARY }]) {
    const answer = await logIn(() => {
      throw thrown
    })
    assertRefused(t, answer, INVALID, [CANARY])
  }
  assertRefused(t, await logIn(() => Promise.reject(new Error(CANARY))), INVALID, [CANARY])
  t.strictSame(
    lines.filter((line) => line.includes(CANARY)),
    []
  )
})

t.test('selectUser can reject a login that the upstream answered 200', async (t) => {
  const { baseUrl } = await startUpstream(t, (_request, response) => response.end('{"ok":false}'))
  const selectUser = (body: { ok: boolean }) => {
    if (!body.ok) throw new CredentialsRejectedError()
  }
  const app = await createApp(t, { upstream: { baseUrl, selectUser } })
  const answer = await app.inject(postJson('/user/login', CREDENTIALS))
  t.match(answer.json(), { statusCode: 401, code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' })
})
