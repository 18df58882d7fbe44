import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createApp } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { type RawUpstream, response, startRawUpstream } from '../fixtures/raw-upstream.js'
import { startUpstream } from '../fixtures/upstream.js'

const USER = '{"user":{"id":"ada"}}'
const ROUTES = ['login', 'register'] as const

const HEADERS = ['cache-control', 'connection', 'content-length', 'content-type', 'date']

const GOOD = { login: { statusCode: 200, code: undefined }, register: { statusCode: 201, code: undefined } }
const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }
const BUSY = { statusCode: 429, code: 'FST_JWT_SESSION_UPSTREAM_BUSY' }
const UNAVAILABLE = { statusCode: 503, code: 'FST_JWT_SESSION_UPSTREAM_UNAVAILABLE' }
const REJECTED_LOGIN = { statusCode: 401, code: 'FST_JWT_SESSION_CREDENTIALS_REJECTED' }
const rejectedRegistration = (statusCode: number) => ({ statusCode, code: 'FST_JWT_SESSION_REGISTRATION_REJECTED' })

const REFUSALS_OF_LOGIN = [400, 401, 402, 403, 404, 409, 410, 412, 422, 423, 428, 451]

/** The statuses with a meaning. Every other status from 200 to 599 is an invalid reply of the upstream. */
const MEANINGS = {
  login: new Map([
    ...REFUSALS_OF_LOGIN.map((status) => [status, REJECTED_LOGIN] as const),
    [429, BUSY],
    [503, UNAVAILABLE]
  ]),
  register: new Map([
    ...[400, 409, 422].map((status) => [status, rejectedRegistration(status)] as const),
    [429, BUSY],
    [503, UNAVAILABLE]
  ])
}

async function start(t: Test): Promise<{ app: FastifyInstance; upstream: RawUpstream }> {
  const upstream = await startRawUpstream(t)
  return { upstream, app: await createApp(t, { upstream: { baseUrl: upstream.baseUrl } }) }
}

for (const route of ROUTES) {
  t.test(`every status from 200 to 599 has one meaning for a ${route}`, async (t) => {
    const { app, upstream } = await start(t)
    const actual: unknown[] = []
    const expected: unknown[] = []
    for (let status = 200; status < 600; status += 1) {
      upstream.answers.push(response(status, status === 204 || status === 304 ? '' : USER))
      const { statusCode, headers, body } = await app.inject(postJson(`/user/${route}`, CREDENTIALS))
      actual.push([status, statusCode, JSON.parse(body).code, ...Object.keys(headers).sort()])

      // A registration needs no body.
      const isGood = status < 300 && (route === 'register' || status !== 204)
      const meaning = isGood ? GOOD[route] : (MEANINGS[route].get(status) ?? INVALID)
      const extra = meaning.statusCode === 401 ? ['www-authenticate'] : []
      expected.push([status, meaning.statusCode, meaning.code, ...HEADERS, ...extra])
    }
    t.strictSame(actual, expected)
    t.equal(upstream.requests.length, 400, 'the upstream was called once per status')
  })
}

t.test('every error reply has the shape of Fastify and no detail of the upstream', async (t) => {
  const { app, upstream } = await start(t)
  for (const route of ROUTES) {
    for (const [status, meaning] of [...MEANINGS[route], [302, INVALID], [500, INVALID]] as const) {
      upstream.answers.push(response(status, 'upstream-only', ['x-reason: upstream-only']))
      const answer = await app.inject(postJson(`/user/${route}`, CREDENTIALS))
      assertRefused(t, answer, meaning, ['upstream-only', CREDENTIALS.username, CREDENTIALS.password])
      const challenge = meaning.statusCode === 401 ? 'Bearer realm="session"' : undefined
      t.equal(answer.headers['www-authenticate'], challenge)
    }
  }
})

t.test('all rejected logins get the same bytes', async (t) => {
  const { app, upstream } = await start(t)
  const answers = new Set<string>()
  for (const status of REFUSALS_OF_LOGIN) {
    for (const body of ['', '{"error":"no such user"}', '<h1>locked</h1>', USER, 'x'.repeat(100_000)]) {
      upstream.answers.push(response(status, body, ['x-reason: locked', 'retry-after: 7', 'www-authenticate: Basic']))
      const { statusCode, headers, rawPayload } = await app.inject(postJson('/user/login', CREDENTIALS))
      delete headers.date
      answers.add(JSON.stringify([statusCode, headers, rawPayload.toString('hex')]))
    }
  }
  t.equal(answers.size, 1)
})

t.test('no redirect is followed', async (t) => {
  const { app, upstream } = await start(t)
  const elsewhere = await startUpstream(t)
  for (const status of [300, 301, 302, 303, 305, 307, 308]) {
    for (const location of [`${elsewhere.baseUrl}/user/login`, '/user/login', '//127.0.0.1/', '']) {
      for (const route of ROUTES) {
        upstream.answers.push(response(status, USER, [`location: ${location}`, 'refresh: 0']))
        const answer = await app.inject(postJson(`/user/${route}`, CREDENTIALS))
        assertRefused(t, answer, INVALID, [elsewhere.baseUrl])
        t.notOk(answer.headers.location)
      }
    }
  }
  t.equal(elsewhere.requests.length, 0)
  t.equal(upstream.requests.length, 7 * 4 * 2)
})

t.test('Retry-After of a busy upstream is forwarded when the value is digits or an HTTP date', async (t) => {
  const { app, upstream } = await start(t)
  const good = ['0', '1', '120', '999999999', 'Wed, 21 Oct 2026 07:28:00 GMT']
  const hostile = [
    ...['', '-1', '+5', '1.5', '1e3', '0x10', '1, 2', '5; secure', 'soon', 'null', '\u0661\u0662', '9'.repeat(20)],
    ...['Wed, 21 Oct 2026 07:28:00 CET', 'Wed, 21 Oct 2026 07:28:00 GMT, x', '2026-10-21T07:28:00Z', '1'.repeat(9_999)],
    ...['120%0d%0aset-cookie: a=b', '120\\r\\nset-cookie: a=b', '<script>alert(1)</script>', '120 "\t"', '120\xff\x80']
  ]
  for (const route of ROUTES) {
    for (const value of [...good, ...hostile]) {
      upstream.answers.push(response(429, '{"retry":"upstream-only"}', [`Retry-After: ${value}`]))
      const answer = await app.inject(postJson(`/user/${route}`, CREDENTIALS))
      assertRefused(t, answer, BUSY, ['upstream-only', 'set-cookie'])
      t.equal(answer.headers['retry-after'], good.includes(value) ? value : undefined, value.slice(0, 40))
    }
  }
})

t.test('a Retry-After that is almost an HTTP date is dropped', async (t) => {
  const { app, upstream } = await start(t)
  for (const value of ['Foo, 99 Bar 2026 99:99:99 GMT', 'Wed, 31 Feb 2026 07:28:00 GMT']) {
    upstream.answers.push(response(429, '', [`Retry-After: ${value}`]))
    const answer = await app.inject(postJson('/user/login', CREDENTIALS))
    assertRefused(t, answer, BUSY)
    t.equal(answer.headers['retry-after'], undefined, value)
  }
})

t.test('a Retry-After with a line break adds no header', async (t) => {
  const { app, upstream } = await start(t)
  for (const smuggled of [
    ['retry-after: 1', 'retry-after: 2'],
    ['retry-after: 1\r\n set-cookie: a=b'],
    ['retry-after: 1\rset-cookie: a=b'],
    ['retry-after: 1\nset-cookie: a=b'],
    ['retry-after: 1\0'],
    ['retry-after : 1']
  ]) {
    upstream.answers.push(response(429, '', smuggled))
    const answer = await app.inject(postJson('/user/login', CREDENTIALS))
    assertRefused(t, answer, answer.statusCode === 429 ? BUSY : INVALID, ['a=b'])
    t.ok([undefined, '1'].includes(answer.headers['retry-after']?.toString()), JSON.stringify(smuggled))
    t.notOk(answer.headers['set-cookie'])
  }
})

t.test('interim responses before the final response are ignored', async (t) => {
  const { app, upstream } = await start(t)
  const early = 'HTTP/1.1 103 Early Hints\r\nlink: </evil>; rel=preload\r\nretry-after: 7\r\n\r\n'
  for (const [answers, statusCode] of [
    [[early, response(200, USER)], 200],
    [['HTTP/1.1 102 Processing\r\n\r\n', early, early, response(200, USER)], 200],
    [[early, response(401)], 401],
    [[early, response(429)], 429],
    // Responses without a request.
    [['HTTP/1.1 100 Continue\r\n\r\n', response(200, USER)], 502],
    [['HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n', response(200, USER)], 502],
    [[response(600, USER)], 502],
    [[response(999, USER)], 502]
  ] as const) {
    upstream.answers.push(Buffer.concat(answers.map((answer) => Buffer.from(answer))))
    const answer = await app.inject(postJson('/user/login', CREDENTIALS))
    t.equal(answer.statusCode, statusCode, JSON.stringify(answers[0].toString()))
    t.notOk(answer.headers.link ?? answer.headers['retry-after'])
  }
})
