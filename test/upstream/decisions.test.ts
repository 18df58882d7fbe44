import t, { type Test } from 'tap'
import {
  CredentialsRejectedError,
  type HttpUpstreamOptions,
  InvalidAnswerError,
  RegistrationRejectedError,
  type UpstreamAnswer,
  UpstreamBusyError,
  UpstreamError
} from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { response, startRawUpstream } from '../fixtures/raw-upstream.js'

const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }
const LOGIN = postJson('/user/login', CREDENTIALS)
const REGISTER = postJson('/user/register', CREDENTIALS)
const GOOD = response(200, '{"user":{"id":"ada"},"cart":["book"]}')

class SecondFactorNeeded extends UpstreamError {
  override readonly headers = { 'x-factor': 'totp' }
  readonly challenge: string

  constructor(challenge: string) {
    super('SHOP_SECOND_FACTOR', 401, 'A second factor is needed')
    this.challenge = challenge
  }

  override toJSON() {
    return { ...super.toJSON(), challenge: this.challenge }
  }
}

async function start(t: Test, options: Partial<HttpUpstreamOptions>) {
  const upstream = await startRawUpstream(t)
  const { lines, logger } = createLog()
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, ...options } }, { logger })
  return { upstream, app, lines }
}

t.test('a subclass of UpstreamError is answered unchanged, wherever the error is thrown', async (t) => {
  const error = new SecondFactorNeeded('a-challenge')
  const fail = () => {
    throw error
  }
  const custom = await createApp(t, { upstream: { login: async () => fail(), register: fail } })
  const ways: [name: string, options: Partial<HttpUpstreamOptions>][] = [
    ['thrown by mapError', { mapError: fail }],
    ['returned by mapError', { mapError: () => error }],
    ['thrown by selectUser', { selectUser: fail }],
    ['returned by selectUser', { selectUser: () => error }],
    ['a rejection of selectUser', { selectUser: async () => fail() }],
    ['resolved by selectUser', { selectUser: async () => error }]
  ]
  const apps = [['thrown by a client', custom, null] as const]
  const over = await Promise.all(
    ways.map(async ([name, options]) => {
      const { app, upstream } = await start(t, options)
      return [name, app, upstream] as const
    })
  )
  for (const [name, app, upstream] of [...apps, ...over]) {
    for (const request of [LOGIN, REGISTER]) {
      upstream?.answers.push(GOOD)
      const answer = await app.inject(request)
      t.strictSame(
        answer.json(),
        {
          statusCode: 401,
          code: 'SHOP_SECOND_FACTOR',
          error: 'Unauthorized',
          message: 'A second factor is needed',
          challenge: 'a-challenge'
        },
        name
      )
      t.equal(answer.statusCode, 401)
      t.equal(answer.headers['x-factor'], 'totp')
      t.equal(answer.headers['cache-control'], 'no-store')
      t.notOk(answer.headers['session-ended'] ?? answer.headers['clear-site-data'])
    }
  }
})

t.test('an UpstreamError does not end the session, whatever the code of the error', async (t) => {
  class Ended extends UpstreamError {
    readonly reason = 'revoked'
    constructor() {
      super('FST_JWT_SESSION_ENDED', 401, 'no')
    }
  }
  const { app } = await start(t, { mapError: () => new Ended() })
  const answer = await app.inject(LOGIN)
  t.equal(answer.statusCode, 401)
  t.notOk(answer.headers['session-ended'] ?? answer.headers['clear-site-data'])
})

t.test('an UpstreamError must have an error status', async (t) => {
  class Any extends UpstreamError {
    constructor(statusCode: number) {
      super('X', statusCode, 'x')
    }
  }
  for (const status of [200, 302, 399, 600, 0, -1, 400.5, Number.NaN, '401' as never, undefined as never]) {
    t.throws(() => new Any(status), { code: 'FST_JWT_SESSION_INVALID_ANSWER', statusCode: 500 })
  }
  for (const status of [400, 418, 599]) t.equal(new Any(status).statusCode, status)
  const { app, lines } = await start(t, { mapError: () => new Any(200) })
  assertRefused(t, await app.inject(LOGIN), INVALID)
  t.match(lines.join(''), 'login: `mapError` threw FST_JWT_SESSION_INVALID_ANSWER')
})

t.test('mapError gets the operation, the status and the JSON of every response', async (t) => {
  const seen: UpstreamAnswer[] = []
  const { app, upstream } = await start(t, {
    maxResponseBytes: 100,
    mapError(answer) {
      seen.push(answer)
      return undefined
    }
  })
  const answers: [status: number, body: string, statusCode: number][] = [
    [200, '{"user":{"id":"ada"}}', 200],
    [200, '<p>', 502],
    [204, '', 502],
    [401, '{"code":"LOCKED","__proto__":{"a":1}}', 401],
    [404, '', 401],
    [302, '"elsewhere"', 502],
    [429, '[1]', 429],
    [500, 'null', 502],
    [503, `"${'x'.repeat(200)}"`, 503]
  ]
  for (const [status, body, statusCode] of answers) {
    upstream.answers.push(response(status, body))
    t.equal((await app.inject(LOGIN)).statusCode, statusCode, `${status} ${body}`)
  }
  upstream.answers.push(response(409, '{"code":"EXISTS"}'))
  t.equal((await app.inject(REGISTER)).statusCode, 409)
  t.strictSame(seen, [
    { operation: 'login', status: 200, body: { user: { id: 'ada' } } },
    { operation: 'login', status: 200, body: undefined },
    { operation: 'login', status: 204, body: undefined },
    { operation: 'login', status: 401, body: { code: 'LOCKED' } },
    { operation: 'login', status: 404, body: undefined },
    { operation: 'login', status: 302, body: 'elsewhere' },
    { operation: 'login', status: 429, body: [1] },
    { operation: 'login', status: 500, body: null },
    { operation: 'login', status: 503, body: undefined },
    { operation: 'register', status: 409, body: { code: 'EXISTS' } }
  ])
})

t.test('mapError is called before selectUser, and an error of mapError wins', async (t) => {
  const order: string[] = []
  const { app, upstream } = await start(t, {
    mapError({ body }) {
      order.push('mapError')
      return body.isBusy ? new UpstreamBusyError('7') : undefined
    },
    selectUser(body) {
      order.push('selectUser')
      return body.isWrong ? new CredentialsRejectedError() : body.user
    }
  })
  for (const [fields, statusCode] of [
    ['"isBusy":true,"isWrong":true', 429],
    ['"isWrong":true', 401],
    ['"user":{"id":"ada"}', 200]
  ] as const) {
    upstream.answers.push(response(200, `{${fields}}`))
    t.equal((await app.inject(LOGIN)).statusCode, statusCode)
  }
  t.strictSame(order, ['mapError', 'mapError', 'selectUser', 'mapError', 'selectUser'])
})

t.test('a failed mapError is 502 and logged', async (t) => {
  const fails: [mapError: () => unknown, cause: string][] = [
    [() => ({}), 'did not return an UpstreamError or undefined'],
    [() => null, 'did not return an UpstreamError or undefined'],
    [() => new Error('a-secret'), 'did not return an UpstreamError or undefined'],
    [async () => 'a-secret', 'did not return an UpstreamError or undefined'],
    [() => JSON.parse('a-secret'), 'threw SyntaxError'],
    [async () => Promise.reject(new TypeError('a-secret')), 'threw TypeError']
  ]
  for (const [mapError, cause] of fails) {
    const { app, upstream, lines } = await start(t, { mapError: mapError as () => undefined })
    for (const status of [200, 401]) {
      upstream.answers.push(response(status, '{"user":{"id":"ada"}}'))
      assertRefused(t, await app.inject(LOGIN), INVALID, ['a-secret'])
    }
    t.equal(lines.filter((line) => line.includes(`"cause":"login: \`mapError\` ${cause}"`)).length, 2)
    t.notMatch(lines.join(''), 'a-secret')
  }
})

t.test('an error response whose body is late is answered by status at the deadline', async (t) => {
  const { app, upstream } = await start(t, { timeoutMs: 1_000, mapError: () => undefined })
  upstream.answers.push('HTTP/1.1 401 No\r\ncontent-length: 9\r\n\r\n{')
  t.equal((await app.inject(LOGIN)).statusCode, 401)
  upstream.answers.push('HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{')
  t.equal((await app.inject(LOGIN)).statusCode, 504)
})

t.test('the details of a rejected registration are forwarded, as JSON of at most 4 KB', async (t) => {
  let details: unknown
  const { app, upstream, lines } = await start(t, {
    mapError: ({ body }) => new RegistrationRejectedError(422, { details: details ?? body })
  })
  upstream.answers.push(response(422, '{"password":["too short"]}'))
  t.strictSame((await app.inject(REGISTER)).json(), {
    statusCode: 422,
    code: 'FST_JWT_SESSION_REGISTRATION_REJECTED',
    error: 'Unprocessable Entity',
    message: 'The registration was rejected',
    details: { password: ['too short'] }
  })
  t.notMatch(lines.join(''), 'too short')
  for (details of ['exists', 0, false, ['a'], { a: { b: null } }, 'x'.repeat(4_094), '\u00e9'.repeat(2_047)]) {
    t.strictSame((await app.inject(REGISTER)).json().details, details)
  }
  const circular: Record<string, unknown> = {}
  circular.self = circular
  for (details of ['x'.repeat(4_095), '\u00e9'.repeat(2_048), 1n, circular, () => {}, Symbol('x')]) {
    t.throws(() => new RegistrationRejectedError(409, { details }), InvalidAnswerError)
    assertRefused(t, await app.inject(REGISTER), INVALID)
  }
  const given = { fields: ['email'] }
  const error = new RegistrationRejectedError(409, { details: given })
  given.fields.push('x'.repeat(5_000))
  t.strictSame(error.details, { fields: ['email'] }, 'a copy')
  t.notOk('details' in JSON.parse(JSON.stringify(new RegistrationRejectedError(409))))
  t.notOk('details' in JSON.parse(JSON.stringify(new RegistrationRejectedError(409, {}))))
})

t.test('selectUser may be asynchronous', async (t) => {
  const { app, upstream } = await start(t, {
    async selectUser(body) {
      await new Promise(setImmediate)
      return body.user
    }
  })
  upstream.answers.push(GOOD)
  t.strictSame((await app.inject(LOGIN)).json().user, { id: 'ada' })
})

t.test('selectData chooses the data of the session, and the client does not get the data', async (t) => {
  for (const selectData of [
    (body: { cart: string[] }) => ({ cart: body.cart }),
    async (body: { cart: string[] }) => ({ cart: body.cart })
  ]) {
    const { app, upstream } = await start(t, { selectData })
    upstream.answers.push(GOOD)
    const answer = await app.inject(LOGIN)
    t.strictSame(Object.keys(answer.json()).sort(), ['access_token', 'expires_in', 'token_type', 'user'])
    t.strictSame((await app.inject(withToken(answer.json().access_token))).json().data, { cart: ['book'] })
  }
  for (const nothing of [undefined, null]) {
    const { app, upstream } = await start(t, { selectData: () => nothing as undefined })
    upstream.answers.push(GOOD)
    t.equal((await app.inject(LOGIN)).statusCode, 200)
  }
})

t.test('a failed selectData is 502, and an UpstreamError of selectData is answered unchanged', async (t) => {
  const fails: [selectData: () => unknown, cause: string][] = [
    [() => 'a-secret', '`selectData` did not return an object or undefined'],
    [() => ['a-secret'], '`selectData` did not return an object or undefined'],
    [() => new Map(), '`selectData` did not return an object or undefined'],
    [() => JSON.parse('a-secret'), '`selectData` threw SyntaxError']
  ]
  for (const [selectData, cause] of fails) {
    const { app, upstream, lines } = await start(t, { selectData: selectData as () => object })
    upstream.answers.push(GOOD)
    assertRefused(t, await app.inject(LOGIN), INVALID, ['a-secret'])
    t.match(lines.join(''), `"cause":"login: ${cause}"`)
    t.notMatch(lines.join(''), 'a-secret')
  }
  const { app, upstream } = await start(t, { selectData: () => new CredentialsRejectedError() })
  upstream.answers.push(GOOD)
  t.equal((await app.inject(LOGIN)).statusCode, 401)
})
