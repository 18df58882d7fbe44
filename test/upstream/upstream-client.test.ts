import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { Type } from 'typebox'
import {
  CredentialsRejectedError,
  RegistrationRejectedError,
  SessionEndedError,
  SessionMissingError,
  StoreUnavailableError,
  UpstreamBusyError,
  type UpstreamClient,
  type UpstreamContext,
  UpstreamInvalidError,
  UpstreamTimeoutError,
  UpstreamUnavailableError
} from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createLog } from '../fixtures/log.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'

const INVALID = { statusCode: 502, code: 'FST_JWT_SESSION_UPSTREAM_INVALID' }
const CANARY = 'upstream-only'
const ROUTES = ['login', 'register'] as const

/** An UpstreamClient that returns the result of `act` as the user of a login or a registration. */
function clientThat(act: () => unknown): UpstreamClient {
  return { login: async () => ({ user: act() }), register: async () => ({ user: act() }) }
}

const attempt = (app: FastifyInstance, route: string) => app.inject(postJson(`/user/${route}`, CREDENTIALS))

t.test('an UpstreamClient gets the body and a context: the address, the headers and a signal', async (t) => {
  const calls: [string, unknown, UpstreamContext][] = []
  class Client implements UpstreamClient {
    readonly #user = { id: 7, name: 'Ada', secret: CANARY }
    async login(credentials: unknown, context: UpstreamContext) {
      calls.push(['login', credentials, context])
      return { user: this.#user }
    }
    async register(registration: unknown, context: UpstreamContext) {
      calls.push(['register', registration, context])
      return { user: this.#user }
    }
  }
  const userSchema = Type.Object({ id: Type.String(), name: Type.String() })
  const app = await createApp(t, { upstream: new Client(), userSchema })
  for (const [route, statusCode] of [
    ['login', 200],
    ['register', 201]
  ] as const) {
    const answer = await app.inject(postJson(`/user/${route}`, CREDENTIALS, { 'x-id': '1' }))
    t.equal(answer.statusCode, statusCode)
    t.strictSame(answer.json().user, { id: '7', name: 'Ada' })
    const [name, body, context] = calls.at(-1) ?? []
    t.strictSame([name, body, context?.ip, context?.headers['x-id']], [route, CREDENTIALS, '127.0.0.1', '1'])
    t.ok(context?.signal instanceof AbortSignal)
  }
})

t.test('the result of an UpstreamClient is parsed by userSchema, and a result without a user is 502', async (t) => {
  let user: unknown
  const app = await createApp(t, { upstream: clientThat(() => user) })
  const circular: Record<string, unknown> = { id: 'ada' }
  circular.self = circular
  const thrower = {
    get id() {
      throw new Error(CANARY)
    }
  }
  const noUser = [
    undefined,
    null,
    false,
    true,
    0,
    7,
    '',
    'ada',
    [],
    [{ id: 'ada' }],
    {},
    { user: { id: 'ada' } },
    () => {}
  ]
  const odd = [
    circular,
    thrower,
    { id: 7n },
    { id: '' },
    { id: Number.NaN },
    { id: 2 ** 53 },
    { id: '\ud800' },
    Symbol('x')
  ]
  for (user of [
    ...noUser,
    ...odd,
    { toJSON: () => null },
    Object.create({ id: 'ada' }),
    new Error(CANARY),
    new Map()
  ]) {
    assertRefused(t, await attempt(app, 'login'), INVALID, [CANARY])
  }
  user = Object.freeze({ id: 'ada', secret: CANARY })
  const answer = await attempt(app, 'login')
  t.strictSame(answer.json().user, { id: 'ada' })
  t.strictSame((await app.inject(withToken(answer.json().access_token))).json().user, { id: 'ada' })
})

t.test('an UpstreamError of an UpstreamClient is answered unchanged, and every other error is 502', async (t) => {
  let thrown: unknown
  const app = await createApp(t, {
    upstream: clientThat(() => {
      throw thrown
    })
  })
  const errors = [
    [new CredentialsRejectedError(), 401, 'CREDENTIALS_REJECTED', { 'www-authenticate': 'Bearer realm="session"' }],
    [new RegistrationRejectedError(400), 400, 'REGISTRATION_REJECTED', {}],
    [new RegistrationRejectedError(409), 409, 'REGISTRATION_REJECTED', {}],
    [new RegistrationRejectedError(422), 422, 'REGISTRATION_REJECTED', {}],
    [new UpstreamBusyError('120'), 429, 'UPSTREAM_BUSY', { 'retry-after': '120' }],
    [new UpstreamBusyError('soon\r\nset-cookie: a=b'), 429, 'UPSTREAM_BUSY', { 'retry-after': undefined }],
    [new UpstreamBusyError(), 429, 'UPSTREAM_BUSY', { 'retry-after': undefined }],
    [new UpstreamInvalidError(new Error(CANARY)), 502, 'UPSTREAM_INVALID', {}],
    [new UpstreamUnavailableError(), 503, 'UPSTREAM_UNAVAILABLE', { 'retry-after': undefined }],
    [new UpstreamTimeoutError(), 504, 'UPSTREAM_TIMEOUT', {}],
    // An UpstreamClient must not send the clear signal.
    [new SessionEndedError('revoked'), 502, 'UPSTREAM_INVALID', { 'session-ended': undefined }],
    [new StoreUnavailableError(new Error(CANARY)), 502, 'UPSTREAM_INVALID', { 'retry-after': undefined }],
    [new SessionMissingError(), 502, 'UPSTREAM_INVALID', { 'www-authenticate': undefined }]
  ] as const
  for (const route of ROUTES) {
    for (const [error, statusCode, code, headers] of errors) {
      thrown = error
      const answer = await attempt(app, route)
      assertRefused(t, answer, { statusCode, code: `FST_JWT_SESSION_${code}` }, [CANARY, 'set-cookie'])
      for (const [name, value] of Object.entries(headers)) t.equal(answer.headers[name], value)
    }
  }
})

class ForeignError extends Error {
  readonly statusCode = 200
  readonly code = `${CANARY} code`
  readonly body = { user: { id: CANARY } }
  readonly headers = { 'x-secret': CANARY }
  override readonly cause = new Error(CANARY)
  override readonly name = 'ForeignError'
}

const FOREIGN: Record<string, unknown> = {
  'an error': new Error(CANARY),
  'an error with everything on it': new ForeignError(CANARY),
  'an error that claims to be ours': Object.assign(new Error(CANARY), {
    statusCode: 401,
    code: 'FST_JWT_SESSION_ENDED',
    name: 'SessionEndedError',
    reason: 'revoked'
  }),
  'an error of Fastify’s kind': Object.assign(new Error(CANARY), { statusCode: 404, code: 'FST_ERR_NOT_FOUND' }),
  'an AggregateError': new AggregateError([new Error(CANARY)], CANARY),
  'a DOMException': new DOMException(CANARY, 'AbortError'),
  'a string': CANARY,
  'an object': { message: CANARY, statusCode: 401, toJSON: () => CANARY },
  'a number': 401,
  null: null,
  undefined: undefined,
  // AWS SDKs build error names from text of the service.
  'an error named by the upstream': Object.assign(new Error('x'), { name: `${CANARY} is locked` }),
  'an error whose name is no string': Object.assign(new Error(CANARY), { name: Symbol(CANARY) }),
  'an error like Redis’s, without a message': Object.assign(new Error('x'), { name: 'ReplyError', message: undefined })
}

for (const [name, thrown] of Object.entries(FOREIGN)) {
  t.test(`${name} that an UpstreamClient throws is 502, and no text of the error is sent or logged`, async (t) => {
    const { lines, logger } = createLog()
    const upstream = clientThat(() => {
      throw thrown
    })
    const app = await createApp(t, { upstream }, { logger })
    for (const route of ROUTES) assertRefused(t, await attempt(app, route), INVALID, [CANARY])
    t.ok(lines.length > 0)
    t.strictSame(
      lines.filter((line) => line.includes(CANARY) || line.includes(CREDENTIALS.password)),
      []
    )
  })
}

t.test('an UpstreamClient may throw synchronously', async (t) => {
  const fail = () => {
    throw new CredentialsRejectedError()
  }
  const app = await createApp(t, { upstream: { login: fail, register: fail } })
  for (const route of ROUTES) t.equal((await attempt(app, route)).statusCode, 401)
})

t.test('without a register method there is no register route, and `routes.register` fails the start', async (t) => {
  const upstream: UpstreamClient = { login: async () => ({ user: { id: 'ada' } }) }
  for (const routes of [undefined, { register: false }] as const) {
    const app = await createApp(t, { upstream, routes })
    t.equal((await attempt(app, 'register')).statusCode, 404)
    t.equal((await attempt(app, 'login')).statusCode, 200)
  }
  for (const register of [{}, { path: '/sign-up' }]) {
    await t.rejects(createApp(t, { upstream, routes: { register } }), {
      code: 'FST_JWT_SESSION_INVALID_OPTION',
      option: 'routes.register'
    })
  }
})
