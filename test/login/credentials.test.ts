import type { FastifyServerOptions } from 'fastify'
import t from 'tap'
import { type TObject, Type } from 'typebox'
import { createApp } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startUpstream } from '../fixtures/upstream.js'

const ROUTES = ['/user/login', '/user/register']
const INVALID = { statusCode: 400, code: 'FST_ERR_VALIDATION' }

// Recognizable: a reply with text of the request is caught.
const MARK = 'marked-value'

const COERCING: FastifyServerOptions = {
  ajv: { customOptions: { coerceTypes: 'array', removeAdditional: 'all', useDefaults: true, allErrors: true } }
}

const WRONG_VALUES: Record<string, unknown> = {
  'a number': 1,
  null: null,
  'a boolean': true,
  'an array of one string': [MARK],
  'an empty array': [],
  'an object': { toString: MARK },
  'an operator of a database': { $ne: MARK },
  nothing: ''
}

// JSON Schema counts Unicode code points. The emoji is two UTF-16 code units and four bytes.
const LENGTHS = [
  ['username', 256],
  ['password', 1_024]
] as const

const EVERY_CONTROL = Array.from({ length: 32 }, (_, code) => String.fromCharCode(code)).join('')

const ODD_TEXTS = [
  ' spaces around ',
  '\u00a0\u3000\ufeff',
  'CR LF\r\nX-Header: injected',
  EVERY_CONTROL,
  '\u007f\u0085\u2028\u2029',
  '\0',
  'e\u0301 is not \u00e9',
  '\u202eright to left',
  '\ud800 alone \udc00',
  '\ufffd\uffff',
  '\u{1f469}\u200d\u{1f469}\u200d\u{1f467}',
  '"\\"\'`$<script>',
  '__proto__',
  'constructor',
  'null',
  '1',
  '001',
  'true',
  '[object Object]'
]

for (const [name, server] of Object.entries({ 'with Fastify’s defaults': {}, 'whose Ajv coerces': COERCING })) {
  t.test(`an application ${name}`, async (t) => {
    const upstream = await startUpstream(t)
    const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl } }, server)
    const post = (url: string, body: unknown) => app.inject(postJson(url, body))
    t.afterEach(() => {
      upstream.requests.length = 0
    })

    t.test('no field is coerced', async (t) => {
      for (const url of ROUTES) {
        for (const field of url === '/user/login' ? ['username', 'password'] : ['username', 'password', 'email']) {
          for (const [name, value] of Object.entries(WRONG_VALUES)) {
            await t.test(`${url}: ${field} is ${name}`, async (t) => {
              assertRefused(t, await post(url, { ...CREDENTIALS, [field]: value }), INVALID, [
                MARK,
                CREDENTIALS.password
              ])
            })
          }
        }
      }
      t.strictSame(upstream.requests, [])
    })

    t.test('an unknown field is refused, and the reply does not have the name of the field', async (t) => {
      for (const url of ROUTES) {
        for (const field of [
          MARK,
          'Username',
          'username ',
          'user.name',
          '',
          'toJSON',
          'constructor',
          'prototype',
          '0'
        ]) {
          await t.test(`${url}: ${JSON.stringify(field)}`, async (t) => {
            const answer = await post(url, { ...CREDENTIALS, [field]: MARK })
            assertRefused(t, answer, INVALID, [MARK, CREDENTIALS.password])
          })
        }
      }
      assertRefused(t, await post('/user/login', { ...CREDENTIALS, email: `${MARK}@example` }), INVALID, [MARK])
      t.strictSame(upstream.requests, [])
    })

    t.test('a missing field is refused', async (t) => {
      for (const url of ROUTES) {
        for (const field of ['username', 'password']) {
          assertRefused(t, await post(url, { [field]: MARK }), INVALID, [MARK])
        }
      }
      t.strictSame(upstream.requests, [])
    })

    t.test('lengths are counted in characters', async (t) => {
      for (const url of ROUTES) {
        for (const [field, max] of LENGTHS) {
          for (const character of ['a', '\u00e9', '\u4e2d', '\u{1f600}']) {
            await post(url, { ...CREDENTIALS, [field]: character.repeat(max) })
            t.equal(upstream.requests.length, 1, `${max} of ${character} in ${field} are forwarded`)
            assertRefused(t, await post(url, { ...CREDENTIALS, [field]: character.repeat(max + 1) }), INVALID)
            t.equal(upstream.requests.length, 1, 'a longer value is not forwarded')
            upstream.requests.length = 0
          }
          const combined = `a${'\u0301'.repeat(max)}`
          assertRefused(t, await post(url, { ...CREDENTIALS, [field]: combined }), INVALID)
        }
        await post(url, { username: 'a', password: 'b' })
        t.equal(upstream.requests.length, 1, 'a single character is accepted')
        upstream.requests.length = 0
      }
    })

    t.test('every text is forwarded unchanged', async (t) => {
      for (const url of ROUTES) {
        for (const text of ODD_TEXTS) {
          for (const body of [
            { username: text, password: 'p' },
            { username: 'ada', password: text }
          ]) {
            await post(url, body)
            t.strictSame(JSON.parse(upstream.requests.pop()?.body ?? ''), body)
          }
        }
      }
    })

    t.test('the validated value of a repeated key is forwarded', async (t) => {
      for (const url of ROUTES) {
        for (const [body, forwarded] of [
          ['{"username":1,"username":"ada","password":"p"}', '{"username":"ada","password":"p"}'],
          ['{"username":"eve","username":"ada","password":"p"}', '{"username":"ada","password":"p"}'],
          ['{"username":"ada","password":["x"],"pass\\u0077ord":"p"}', '{"username":"ada","password":"p"}'],
          ['\ufeff{"username":"ada","password":"p"}', '{"username":"ada","password":"p"}']
        ] as const) {
          await post(url, body)
          t.equal(upstream.requests.pop()?.body, forwarded)
        }
        assertRefused(t, await post(url, '{"username":"ada","password":"p","username":1}'), INVALID)
        assertRefused(t, await post(url, '{"username":"ada","password":"p","password":null}'), INVALID)
        t.strictSame(upstream.requests, [])
      }
    })
  })
}

t.test('a custom body schema is enforced', async (t) => {
  const strict = { additionalProperties: false }
  const cases: { name: string; schema: TObject; good: string[]; bad: unknown[] }[] = [
    {
      name: 'with a format, a number and a choice',
      schema: Type.Object(
        {
          email: Type.String({ format: 'email' }),
          pin: Type.Integer({ minimum: 0 }),
          device: Type.Optional(Type.Union([Type.Literal('phone'), Type.Literal('desk')]))
        },
        strict
      ),
      good: ['{"email":"ada@example.org","pin":7}', '{"pin":0,"device":"desk","email":"a@b.example"}'],
      bad: [
        { email: MARK, pin: 7 },
        { email: 'ada@example.org', pin: '7' },
        { email: 'ada@example.org', pin: 7.5 },
        '{"email":"ada@example.org","pin":1e400}',
        { email: 'ada@example.org', pin: 7, device: MARK },
        { email: 'ada@example.org', pin: 7, [MARK]: 1 },
        { email: ['ada@example.org'], pin: 7 },
        CREDENTIALS
      ]
    },
    {
      name: 'with objects and arrays in it, and a $id',
      schema: Type.Object(
        { user: Type.Object({ name: Type.String() }, strict), codes: Type.Array(Type.String(), { maxItems: 2 }) },
        { ...strict, $id: 'login' }
      ),
      good: ['{"user":{"name":"ada"},"codes":[]}', '{"codes":["1","2"],"user":{"name":""}}'],
      bad: [
        { user: { name: 1 }, codes: [] },
        { user: { name: 'ada', [MARK]: 1 }, codes: [] },
        { user: { name: 'ada' }, codes: MARK },
        { user: { name: 'ada' }, codes: ['1', '2', MARK] },
        { user: [], codes: [] }
      ]
    },
    {
      name: 'with keys that the client chooses',
      schema: Type.Object({ username: Type.String(), answers: Type.Record(Type.String(), Type.Integer()) }, strict),
      good: ['{"username":"ada","answers":{"any key":1}}'],
      bad: [{ username: 'ada', answers: { [MARK]: '1' } }]
    },
    {
      name: 'that is open',
      schema: Type.Object({ username: Type.String() }),
      good: ['{"username":"ada","more":{"toJSON":1,"constructor":{}}}'],
      bad: [{ more: MARK }, '{"username":"ada","more":{"__proto__":{}}}']
    },
    {
      name: 'with a default, which is not filled in',
      schema: Type.Object({ username: Type.String(), tenant: Type.Optional(Type.String({ default: 'main' })) }, strict),
      good: ['{"username":"ada"}'],
      bad: [{ tenant: MARK }]
    }
  ]
  for (const { name, schema, good, bad } of cases) {
    await t.test(name, async (t) => {
      const upstream = await startUpstream(t)
      const routes = { login: { schema }, register: { schema } }
      const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl }, routes }, COERCING)
      for (const url of ROUTES) {
        for (const body of bad) {
          assertRefused(t, await app.inject(postJson(url, body)), { statusCode: 400 }, [MARK, CREDENTIALS.password])
        }
        t.strictSame(upstream.requests, [])
        for (const body of good) {
          await app.inject(postJson(url, body))
          t.equal(upstream.requests.pop()?.body, body)
        }
      }
    })
  }
})
