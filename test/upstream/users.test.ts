import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib'
import Fastify, { type FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { fastifyJwtSession, type JwtSessionOptions } from '../../lib/index.js'
import { createApp, SECRET, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { type RawUpstream, response, startRawUpstream } from '../fixtures/raw-upstream.js'

const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }

async function start(t: Test, options: Partial<JwtSessionOptions> = {}, upstreamOptions: object = {}) {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { ...options, upstream: { baseUrl: upstream.baseUrl, ...upstreamOptions } })
  return { upstream, app }
}

interface Parts {
  app: FastifyInstance
  upstream: RawUpstream
}

/** Logs in; the upstream answers 200 with `body`. */
async function logInWith({ app, upstream }: Parts, body: string | Buffer, headers: string[] = []) {
  upstream.answers.push(response(200, body, headers))
  return app.inject(postJson('/user/login', CREDENTIALS))
}

const NOT_A_USER: Record<string, string | Buffer> = {
  'no body': '',
  'white space': ' \r\n',
  HTML: '<!doctype html><title>Welcome</title>',
  'broken JSON': '{"user":{"id":"ada"}',
  'two JSON values': '{"user":{"id":"ada"}}{"user":{"id":"eve"}}',
  'JSON with a comment': '{"user":{"id":"ada"}}//',
  'JSON in single quotes': "{'user':{'id':'ada'}}",
  null: 'null',
  true: 'true',
  'a number': '1',
  'a string': '"ada"',
  'an array': '[{"user":{"id":"ada"}}]',
  'no user': '{}',
  'a user elsewhere': '{"data":{"user":{"id":"ada"}}}',
  'an error': '{"error":{"id":"ada"}}',
  'a user that is null': '{"user":null}',
  'a user that is an array': '{"user":[{"id":"ada"}]}',
  'a user that is an array with an id': '{"user":["ada"]}',
  'a user that is a string': '{"user":"ada"}',
  'a user that is a number': '{"user":1}',
  'a user in a user': '{"user":{"user":{"id":"ada"}}}',
  'a user in the prototype': '{"__proto__":{"user":{"id":"ada"}}}',
  'an id in the prototype': '{"user":{"__proto__":{"id":"ada"}}}',
  'an id in the constructor': '{"user":{"constructor":{"prototype":{"id":"ada"}}}}',
  'a key that is escaped wrongly': '{"user":{"\\u0069\\u0":"ada"}}',
  'UTF-16': Buffer.from('{"user":{"id":"ada"}}', 'utf16le'),
  'bytes that are not UTF-8': Buffer.from('{"user":{"id":"ad\xe4"}}', 'latin1'),
  'an overlong encoding': Buffer.concat([
    Buffer.from('{"user":{"id":"'),
    Buffer.from([0xc0, 0xaf]),
    Buffer.from('"}}')
  ]),
  'a surrogate in UTF-8': Buffer.concat([
    Buffer.from('{"user":{"id":"'),
    Buffer.from([0xed, 0xa0, 0x80]),
    Buffer.from('"}}')
  ]),
  'two byte order marks': '\ufeff\ufeff{"user":{"id":"ada"}}',
  'a byte order mark inside': '{"user":\ufeff{"id":"ada"}}',
  'arrays in arrays': '['.repeat(30_000) + ']'.repeat(30_000),
  'objects in objects': `{"user":${'{"user":'.repeat(6_000)}{"id":"ada"}${'}'.repeat(6_001)}`
}

t.test('a 200 without a valid user is 502', async (t) => {
  const parts = await start(t)
  for (const [name, body] of Object.entries(NOT_A_USER)) {
    const answer = await logInWith(parts, body)
    t.equal(answer.statusCode, 502, name)
    assertRefused(t, answer, INVALID, ['ada'])
  }
  t.equal((await logInWith(parts, '{"user":{"id":"ada"}}')).statusCode, 200, 'the next login works')
})

t.test('an id of 1 to 256 characters or a safe integer is accepted unchanged', async (t) => {
  const parts = await start(t)
  const good: Record<string, string> = {
    '0': '0',
    '-5': '-5',
    '42': '42',
    '9007199254740991': '9007199254740991',
    '-9007199254740991': '-9007199254740991',
    '1.0': '1',
    '1e3': '1000'
  }
  const text = [
    'x',
    '0',
    'false',
    ' ',
    '__proto__',
    'constructor',
    'toString',
    'x'.repeat(256),
    '\u{1f511}'.repeat(128)
  ]
  for (const id of [
    ...text,
    '\r\nSet-Cookie: a=b\r\n\r\n\0',
    '{}:*',
    '{a}:b',
    '../../*',
    'e\u0301',
    '\u00e9',
    '\ufeff'
  ]) {
    good[JSON.stringify(id)] = id
  }
  for (const [json, id] of Object.entries(good)) {
    const answer = await logInWith(parts, `{"user":{"id":${json}}}`)
    t.strictSame(answer.json().user, { id }, json.slice(0, 40))
    const [, payload = ''] = answer.json().access_token.split('.')
    t.equal(JSON.parse(Buffer.from(payload, 'base64url').toString()).sub, id)
    const session = (await parts.app.inject(withToken(answer.json().access_token))).json()
    t.strictSame(session.user, { id })
  }
})

t.test('any other id is 502', async (t) => {
  const parts = await start(t)
  const bad = ['1.5', '9007199254740992', '9007199254740993', '-9007199254740992', '1e400', '12345678901234567890']
  const types = ['true', 'false', 'null', '{}', '[]', '["ada"]', '[1]', '{"toString":"ada"}', '{"$oid":"ada"}']
  const text = ['', 'x'.repeat(257), 'x'.repeat(10_240), '\u{1f511}'.repeat(129)]
  const surrogates = ['"\\ud800"', '"\\udc00x"', '"\\udc00\\ud800"']
  for (const json of [...bad, ...types, ...surrogates, ...text.map((id) => JSON.stringify(id))]) {
    const answer = await logInWith(parts, `{"user":{"id":${json}}}`)
    t.equal(answer.statusCode, 502, json.slice(0, 40))
    assertRefused(t, answer, INVALID)
  }
})

t.test('a byte order mark is ignored, as RFC 8259 allows', async (t) => {
  const answer = await logInWith(await start(t), '\ufeff{"user":{"id":"ada"}}')
  t.strictSame(answer.json().user, { id: 'ada' })
})

t.test('a compressed body is not decompressed', async (t) => {
  const parts = await start(t, {}, { timeoutMs: 2_000 })
  const user = '{"user":{"id":"ada"}}'
  const bomb = Buffer.alloc(40_000_000, ' ')
  bomb.write(user, bomb.length - user.length)
  const { rss } = process.memoryUsage()
  for (const [encoding, body] of [
    ['gzip', gzipSync(user)],
    ['deflate', deflateSync(user)],
    ['br', brotliCompressSync(user)],
    ['deflate', deflateSync(bomb)],
    ['gzip, gzip', gzipSync(gzipSync(bomb))]
  ] as const) {
    assertRefused(t, await logInWith(parts, body, [`content-encoding: ${encoding}`]), INVALID)
  }
  t.ok(process.memoryUsage().rss - rss < bomb.length, 'the body was not read into memory')
  t.ok(parts.upstream.requests.every(({ headers }) => headers.includes('accept-encoding: identity')))
})

t.test('a response of maxResponseBytes is accepted, and a response with one more byte is 502', async (t) => {
  const parts = await start(t, {}, { maxResponseBytes: 1_000 })
  const user = (length: number) => `{"user":{"id":"ada"}}`.padEnd(length, ' ')
  t.equal((await logInWith(parts, user(1_000))).statusCode, 200)
  assertRefused(t, await logInWith(parts, user(1_001)), INVALID)
  const chunked = (length: number) => `${length.toString(16)}\r\n${user(length)}\r\n0\r\n\r\n`
  t.equal((await logInWith(parts, chunked(1_000), ['transfer-encoding: chunked'])).statusCode, 200)
  assertRefused(t, await logInWith(parts, chunked(1_001), ['transfer-encoding: chunked']), INVALID)
})

const profile = Type.Object({
  id: Type.String(),
  name: Type.String({ minLength: 2 }),
  role: Type.String({ default: 'reader' }),
  address: Type.Optional(Type.Object({ city: Type.String(), country: Type.String({ default: 'GB' }) }))
})
const whole = { id: 'ada', name: 'Ada', role: 'reader' }

/** Results of `register()`, and the user in the reply. */
const REGISTERED: [resolved: unknown, user: object][] = [
  [{ user: { id: 7, name: 'Ada', passwordHash: 'x' } }, { ...whole, id: '7' }],
  [{ user: { id: 'ada', passwordHash: 'x' } }, { id: 'ada' }],
  [{ user: { id: 'ada', name: 'A' } }, { id: 'ada' }],
  [{ user: { id: 2 ** 53, name: 'Ada' } }, { name: 'Ada' }],
  [{ user: { id: '', name: 'Ada' } }, { name: 'Ada' }],
  [{ user: { name: 'Ada', role: 'admin' } }, { name: 'Ada', role: 'admin' }],
  [{ user: { address: { city: 'London', passwordHash: 'x' } } }, { address: { city: 'London', country: 'GB' } }],
  [{ user: { id: 'ada', address: { passwordHash: 'x' } } }, { id: 'ada' }],
  [{ user: { __proto__: { id: 'ada' } } }, {}],
  ...[{}, { user: null }, { user: {} }, { user: [] }, { user: 'ada' }, { user: { data: { id: 'ada' } } }].map(
    (resolved): [unknown, object] => [resolved, {}]
  ),
  ...[undefined, null, true, 7, 'ada', [], [{ user: whole }], whole, () => whole].map((resolved): [unknown, object] => [
    resolved,
    {}
  ])
]

t.test('a registration of an UpstreamClient is 201 with the valid fields of the user', async (t) => {
  let resolved: unknown
  const register = async () => resolved as { user: unknown }
  const app = await createApp(t, { upstream: { login: register, register }, userSchema: profile })
  for (const [index, [given, user]] of REGISTERED.entries()) {
    resolved = given
    const answer = await app.inject(postJson('/user/register', CREDENTIALS))
    t.equal(answer.statusCode, 201)
    t.strictSame(answer.json(), { user }, `registration ${index}`)
    t.equal(answer.headers['cache-control'], 'no-store')
  }
  const open = Type.Object({ id: Type.String() }, { additionalProperties: true })
  const other = await createApp(t, { upstream: { login: register, register }, userSchema: open })
  resolved = { user: { id: 'ada', theme: 'dark' } }
  const answer = await other.inject(postJson('/user/register', CREDENTIALS))
  t.strictSame(
    answer.json().user,
    { id: 'ada', theme: 'dark' },
    'undeclared fields are in the reply when the schema allows them'
  )
})

t.test('a registration over HTTP is 201, whatever fields of the user are missing', async (t) => {
  const { app, upstream } = await start(t, { userSchema: profile })
  for (const [body, user] of [
    ['{"user":{"id":7}}', { id: '7' }],
    ['{"user":{}}', {}],
    ['{"ok":true}', {}]
  ] as const) {
    upstream.answers.push(response(201, body))
    const answer = await app.inject(postJson('/user/register', CREDENTIALS))
    t.equal(answer.statusCode, 201)
    t.strictSame(answer.json(), { user })
  }
})

t.test('the schema of the registration reply requires no field', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  const schemas: object[] = []
  app.addHook(
    'onRoute',
    ({ url, schema }) => void (url === '/user/register' && schemas.push(schema?.response as object))
  )
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { baseUrl: 'http://127.0.0.1:1' },
    userSchema: profile
  })
  const [response] = schemas as { 201: { properties: { user: Record<string, object> } } }[]
  const { user } = response?.[201].properties ?? {}
  t.strictSame(Object.keys(user?.properties ?? {}), ['id', 'name', 'role', 'address'])
  t.notOk(user && 'required' in user)
  t.strictSame(profile.required, ['id', 'name', 'role'], 'the schema of the application is unchanged')
})

t.test('the log of an invalid user has the path in userSchema, and no value', async (t) => {
  const upstream = await startRawUpstream(t)
  const { lines, logger } = createLog()
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl }, userSchema: profile }, { logger })
  const causes: [user: string, cause: string][] = [
    ['null', 'login: the user is missing'],
    ['"hunter2"', 'login: the user is not a JSON object'],
    ['{"id":"ada","hunter2":1}', 'login: the user does not match `userSchema` at /name (required)'],
    [
      '{"id":9007199254740993,"name":"hunter2"}',
      'login: the user does not match `userSchema` at /id: an integer beyond 2^53 is not exact'
    ],
    [
      '{"id":"ada","name":"Ada","address":{"city":["hunter2"]}}',
      'login: the user does not match `userSchema` at /address/city (type)'
    ]
  ]
  for (const [user, cause] of causes) {
    lines.length = 0
    const answer = await logInWith({ app, upstream }, `{"user":${user}}`)
    assertRefused(t, answer, INVALID, ['hunter2', 'userSchema'])
    t.match(
      lines.map((line) => JSON.parse(line)).filter(({ code }) => code),
      [{ code: INVALID.code, cause, level: 50 }]
    )
    t.notMatch(lines.join(''), /hunter2|9007199254740993/)
  }
})
