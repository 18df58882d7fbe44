import { PassThrough } from 'node:stream'
import { gzipSync } from 'node:zlib'
import type { FastifyInstance, FastifyServerOptions, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createApp, logIn, withToken } from '../fixtures/app.js'
import { assertRefused, refusalFaults } from '../fixtures/assert-refused.js'
import { createFaults } from '../fixtures/faults.js'
import { createHost } from '../fixtures/host.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startUpstream, type Upstream } from '../fixtures/upstream.js'

const LOGIN = '/user/login'
const REGISTER = '/user/register'

const ENDINGS = [
  ['POST', '/user/logout'],
  ['DELETE', '/user/sessions'],
  ['DELETE', '/user/sessions/:id']
] as const

// Recognizable: a reply with the username or the password is caught.
const USERNAME = 'marked-username'
const PASSWORD = 'marked-password'
const SENT = [USERNAME, PASSWORD]
const GOOD = JSON.stringify({ username: USERNAME, password: PASSWORD })

// The host's settings for other routes do not change how a body is read.
const HOSTS: Record<string, FastifyServerOptions> = {
  'with Fastify’s defaults': {},
  'with lax settings': {
    bodyLimit: 10_000_000,
    onProtoPoisoning: 'ignore',
    onConstructorPoisoning: 'ignore',
    ajv: { customOptions: { coerceTypes: 'array', removeAdditional: 'all', useDefaults: true } }
  },
  'with tight settings': { bodyLimit: 10, onProtoPoisoning: 'remove', onConstructorPoisoning: 'remove' }
}

const REFUSED_TYPES = [
  'text/plain',
  'text/json',
  'text/html, application/json',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/octet-stream',
  'application/jsonp',
  'application/json-evil',
  'application/json5',
  'application/x-json',
  'application/vnd.api+json',
  'application/json/x',
  'application/json,',
  'application/json, text/plain',
  'application /json',
  'application/ json',
  'application//json',
  'application\\json',
  'applicati\u00f6n/json',
  'text/plain; application/json',
  'text/plain; x="; application/json"',
  ';application/json',
  'json',
  '*/*',
  '*',
  '/',
  ';',
  'undefined',
  '__proto__',
  'constructor/prototype',
  ''
]

// Spellings that RFC 9110 5.6.6 and 8.3.1 allow, and spellings that Fastify reads alike. Every spelling is checked.
const ACCEPTED_TYPES = [
  'application/json',
  'APPLICATION/JSON',
  'Application/Json; Charset=UTF-8',
  ' application/json',
  '\tapplication/json\t',
  'application/json ; charset=utf-8',
  'application/json;charset="utf-8"',
  'application/json;charset=utf-16',
  'application/json;',
  'application/json;x',
  'application/json; boundary=x',
  'application/json; charset="utf-8',
  `application/json;${' '.repeat(4_000)}x`
]

// Login and registration give the same error reply: the status, and Fastify's own code.
const REFUSED_BODIES: Record<string, [body: string | Buffer, statusCode: number, code: string]> = {
  'an array around it': [`[${GOOD}]`, 400, 'FST_ERR_VALIDATION'],
  'a string': [JSON.stringify(PASSWORD), 400, 'FST_ERR_VALIDATION'],
  'a number': ['42', 400, 'FST_ERR_VALIDATION'],
  null: ['null', 400, 'FST_ERR_VALIDATION'],
  true: ['true', 400, 'FST_ERR_VALIDATION'],
  'an empty object': ['{}', 400, 'FST_ERR_VALIDATION'],
  nothing: ['', 400, 'FST_ERR_VALIDATION'],
  'white space': [' \r\n', 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'a form': [`username=${USERNAME}&password=${PASSWORD}`, 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'a truncated object': [GOOD.slice(0, -2), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'two objects': [GOOD + GOOD, 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'single quotes': [GOOD.replaceAll('"', "'"), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'a comma at the end': [GOOD.replace('}', ',}'), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'a comment': [`/* ${PASSWORD} */${GOOD}`, 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'a raw control character': [GOOD.replace(PASSWORD, `${PASSWORD}\0`), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'brackets without end': ['['.repeat(10_000), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'an array 8,000 levels deep': ['['.repeat(8_000) + ']'.repeat(8_000), 400, 'FST_ERR_VALIDATION'],
  'a password 8,000 levels deep': [
    GOOD.replace(`"${PASSWORD}"`, '['.repeat(8_000) + ']'.repeat(8_000)),
    400,
    'FST_ERR_VALIDATION'
  ],
  'an array 10,000 levels deep': ['['.repeat(10_000) + ']'.repeat(10_000), 413, 'FST_ERR_CTP_BODY_TOO_LARGE'],
  'more than 16 KB': [GOOD.padEnd(16_385), 413, 'FST_ERR_CTP_BODY_TOO_LARGE'],
  'a megabyte': [GOOD.padEnd(1_000_000), 413, 'FST_ERR_CTP_BODY_TOO_LARGE'],
  __proto__: [GOOD.replace('}', ',"__proto__":{"admin":true}}'), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  '__proto__ with the fields in it': [`{"__proto__":${GOOD}}`, 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  '__proto__ in escapes': [
    GOOD.replace('}', ',"\\u005f_proto\\u005F_":{"admin":true}}'),
    400,
    'FST_ERR_CTP_INVALID_JSON_BODY'
  ],
  '__proto__ further down': [
    GOOD.replace('}', ',"more":[{"__proto__":{"admin":true}}]}'),
    400,
    'FST_ERR_CTP_INVALID_JSON_BODY'
  ],
  'constructor.prototype': [
    GOOD.replace('}', ',"constructor":{"prototype":{"admin":true}}}'),
    400,
    'FST_ERR_CTP_INVALID_JSON_BODY'
  ],
  'bytes that are no UTF-8': [withBytes(0xff), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'Latin-1': [withBytes(0xe9), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'an overlong NUL': [withBytes(0xc0, 0x80), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'a surrogate in UTF-8': [withBytes(0xed, 0xa0, 0x80), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'beyond Unicode': [withBytes(0xf4, 0x90, 0x80, 0x80), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  'UTF-16': [Buffer.from(`\ufeff${GOOD}`, 'utf16le'), 400, 'FST_ERR_CTP_INVALID_JSON_BODY'],
  gzip: [gzipSync(GOOD), 400, 'FST_ERR_CTP_INVALID_JSON_BODY']
}

/** The good body with raw bytes at the end of the password. */
function withBytes(...bytes: number[]): Buffer {
  const [before = '', after = ''] = GOOD.split(PASSWORD)
  return Buffer.concat([Buffer.from(before + PASSWORD), Buffer.from(bytes), Buffer.from(after)])
}

for (const [name, server] of Object.entries(HOSTS)) {
  t.test(`an application ${name}`, async (t) => {
    const upstream = await startUpstream(t)
    const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl }, routes: { sessions: {} } }, server)

    t.test('a body that is not declared as JSON is refused', async (t) => {
      const faults = createFaults()
      const expected = { statusCode: 415, code: 'FST_ERR_CTP_INVALID_MEDIA_TYPE' }
      for (const url of [LOGIN, REGISTER]) {
        for (const type of REFUSED_TYPES) {
          const answer = await app.inject(postJson(url, GOOD, { 'content-type': type }))
          faults.note(`${url} ${JSON.stringify(type)}`, refusalFaults(answer, expected, SENT))
        }
        faults.note(url, refusalFaults(await app.inject({ method: 'POST', url, payload: GOOD }), expected, SENT))
      }
      faults.assertNone(t)
      await assertUntouched(t, app, upstream)
    })

    t.test('every body that is declared as JSON is checked', async (t) => {
      const faults = createFaults()
      const expected = { statusCode: 400, code: 'FST_ERR_VALIDATION' }
      const bodies = [GOOD.replace(`"${PASSWORD}"`, '1'), GOOD.replace('}', ',"more":1}'), '{}', '[]', '1']
      for (const url of [LOGIN, REGISTER]) {
        for (const type of ACCEPTED_TYPES) {
          const name = `${url} ${JSON.stringify(type.slice(0, 40))}`
          const post = (body: string) => app.inject(postJson(url, body, { 'content-type': type }))
          for (const wrong of bodies) {
            faults.note(`${name} ${wrong}`, refusalFaults(await post(wrong), expected, SENT))
          }
          faults.compare(`${name}: the upstream was not called`, upstream.requests.length, 0)
          await post(GOOD)
          faults.compare(`${name}: the upstream was called`, upstream.requests.pop()?.body, GOOD)
        }
      }
      faults.assertNone(t)
      await assertUntouched(t, app, upstream)
    })

    t.test('a malformed body is refused', async (t) => {
      const faults = createFaults()
      for (const url of [LOGIN, REGISTER]) {
        for (const [name, [body, statusCode, code]] of Object.entries(REFUSED_BODIES)) {
          const answer = await app.inject(postJson(url, body))
          faults.note(`${url} ${name}`, refusalFaults(answer, { statusCode, code }, [...SENT, 'admin']))
        }
      }
      faults.assertNone(t)
      t.notOk('admin' in {}, 'Object.prototype is clean')
      await assertUntouched(t, app, upstream)
    })

    t.test('the body of a logout or a revocation is not read, and the session ends', async (t) => {
      const faults = createFaults()
      const good = ACCEPTED_TYPES.map((type) => [GOOD, { 'content-type': type }] as const)
      const odd = REFUSED_TYPES.map((type) => [GOOD, { 'content-type': type }] as const)
      const json = { 'content-type': 'application/json' }
      const broken = Object.values(REFUSED_BODIES).map(([body]) => [body, json] as const)
      const lengths = ['0', '1', '99999999'].map((length) => [GOOD, { ...json, 'content-length': length }] as const)
      const encodings = ['gzip', 'x'].map((encoding) => [GOOD, { ...json, 'content-encoding': encoding }] as const)
      const bodies = [['', {}] as const, [GOOD, {}] as const, ...good, ...odd, ...broken, ...lengths, ...encodings]
      for (const [payload, headers] of bodies) {
        const name = `${JSON.stringify(headers).slice(0, 60)} ${String(payload).slice(0, 40)}`
        for (const [method, path] of ENDINGS) {
          const { token } = await app.sessions.create({ id: 'ada' })
          const { token: other, session } = await app.sessions.create({ id: 'ada' })
          const url = path.replace(':id', session.id)
          const answer = await app.inject(withToken(token, { method, url, payload, headers }))
          faults.compare(`${method} ${path} ${name}: status`, answer.statusCode, 204)
          const ended = path === '/user/logout' ? token : other
          faults.compare(`${method} ${path} ${name}`, (await app.inject(withToken(ended))).statusCode, 401)
        }
      }
      faults.assertNone(t)
    })

    t.test('a body of exactly 16 KB is accepted', async (t) => {
      const answer = await app.inject(postJson(LOGIN, JSON.stringify(CREDENTIALS).padEnd(16_384)))
      t.equal(answer.statusCode, 200)
      t.equal(upstream.requests.pop()?.body, JSON.stringify(CREDENTIALS))
    })

    t.test('a body with a wrong Content-Length is refused', async (t) => {
      for (const length of [GOOD.length - 1, GOOD.length + 1, 0]) {
        const answer: LightMyRequestResponse = await app.inject(
          postJson(LOGIN, GOOD, { 'content-length': String(length) })
        )
        assertRefused(t, answer, { statusCode: 400, code: 'FST_ERR_CTP_INVALID_CONTENT_LENGTH' }, [USERNAME, PASSWORD])
      }
      await assertUntouched(t, app, upstream)
    })
  })
}

/** Nothing has reached the upstream, and the next good login works. */
async function assertUntouched(t: Test, app: FastifyInstance, upstream: Upstream): Promise<void> {
  t.strictSame(upstream.requests, [], 'the upstream was not called')
  t.equal((await app.inject(withToken(await logIn(app)))).statusCode, 200, 'the next login works')
  upstream.requests.length = 0
}

t.test('many undeclared fields get the same error reply as a single undeclared field', async (t) => {
  const app = await createApp(t)
  for (const count of [1, 7, 8, 9, 500]) {
    const more = Object.fromEntries(Array.from({ length: count }, (_, index) => [`field-${index}`, index]))
    const answer = await app.inject(postJson('/user/login', { ...CREDENTIALS, ...more }))
    t.strictSame(answer.json(), {
      statusCode: 400,
      code: 'FST_ERR_VALIDATION',
      error: 'Bad Request',
      message: 'body must not have additional properties'
    })
  }
})

t.test('a logout does not read the body, whatever parsers and hooks the host has', async (t) => {
  const before: Record<string, (app: FastifyInstance) => unknown> = {
    'a parser that refuses': (app) =>
      app.addContentTypeParser(['text/plain', '*'], (_request, _body, done) => done(new Error('Unreadable'))),
    'headers set on request': (app) =>
      app.addHook('onRequest', async (request) => {
        request.headers = { ...request.headers, 'content-type': '/' }
      }),
    'headers set before parsing': (app) =>
      app.addHook('preParsing', async (request) => {
        request.headers = { 'x-request-start': '1' }
      }),
    'a body that fails': (app) =>
      app.addHook('preParsing', async () => {
        const body = new PassThrough()
        setImmediate(() => body.destroy(new Error('No gzip')))
        return body
      }),
    'a body that fails later': (app) =>
      app.addHook('preParsing', async (_request, reply) => {
        const body = new PassThrough()
        reply.raw.once('close', () => body.destroy(new Error('No gzip')))
        return body
      })
  }
  for (const [name, prepare] of Object.entries(before)) {
    const { app } = await createHost(t, { before: prepare })
    const { token, session } = await app.sessions.create({ id: 'ada' })
    const headers = { 'content-type': 'nonsense' }
    const answer = await app.inject(withToken(token, { method: 'POST', url: '/user/logout', payload: GOOD, headers }))
    t.equal(answer.statusCode, 204, name)
    t.equal(await app.sessions.find(session.id), null, name)
  }
})
