import fastifyCors from '@fastify/cors'
import fastifySwagger from '@fastify/swagger'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { StoreUnavailableError, UpstreamBusyError } from '../../lib/index.js'
import { createApp, logIn, logout, withToken } from '../fixtures/app.js'
import { createHost } from '../fixtures/host.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'

const SETTINGS: Record<string, (app: FastifyInstance) => unknown> = {
  'a validator that accepts all': (app) => app.setValidatorCompiler(() => () => true),
  'a validator that refuses all': (app) => app.setValidatorCompiler(() => () => ({ error: new Error('host') })),
  'a validator that changes all': (app) => app.setValidatorCompiler(() => () => ({ value: { username: 'host' } })),
  'a serializer': (app) => app.setSerializerCompiler(() => () => '"host"'),
  'a reply serializer': (app) => app.setReplySerializer(() => '"host"'),
  'an error handler': (app) => app.setErrorHandler((_error, _request, reply) => reply.code(418).send({ host: true })),
  'a formatter of schema errors': (app) =>
    app.setSchemaErrorFormatter(() => {
      throw new Error('host')
    }),
  'a not-found handler': (app) => app.setNotFoundHandler((_request, reply) => reply.code(418).send('host')),
  'a parser for everything': (app) => app.addContentTypeParser('*', async () => ({ username: 'host', password: 'x' })),
  'a parser for all kinds of JSON': (app) => app.addContentTypeParser(/json/, async () => CREDENTIALS),
  'a parser for forms': (app) => app.addContentTypeParser('application/x-www-form-urlencoded', async () => CREDENTIALS),
  'a JSON parser': (app) => {
    app.removeContentTypeParser('application/json')
    app.addContentTypeParser('application/json', { parseAs: 'string' }, async () => CREDENTIALS)
  },
  'no parser at all': (app) => app.removeAllContentTypeParsers()
}

/** A request for each kind of answer. */
const REQUESTS = [
  postJson('/user/login', CREDENTIALS),
  postJson('/user/login', { ...CREDENTIALS, password: 'wrong' }),
  postJson('/user/login', { ...CREDENTIALS, username: 1 }),
  postJson('/user/login', '{'),
  postJson('/user/login', ''),
  postJson('/user/login', 'x'.repeat(20_000)),
  postJson('/user/login', CREDENTIALS, { 'content-type': 'text/plain' }),
  postJson('/user/login', CREDENTIALS, { 'content-type': 'application/vnd.api+json' }),
  postJson('/user/login', 'username=ada&password=x', { 'content-type': 'application/x-www-form-urlencoded' }),
  postJson('/user/register', CREDENTIALS),
  postJson('/user/register', { ...CREDENTIALS, more: 1 }),
  postJson('/user/logout', ''),
  postJson('/user/logout', '{}')
]

/** The answers without the parts that change from run to run. */
async function answersOf(app: FastifyInstance) {
  const answers = []
  for (const request of REQUESTS) {
    const { statusCode, headers, body } = await app.inject(request)
    const { date, connection, 'content-length': length, ...rest } = headers
    answers.push({ statusCode, headers: rest, body: body.replace(/"access_token":"[\w.-]+"/, '') })
  }
  return answers
}

const expected = await answersOf(await createApp(t))

for (const [name, set] of Object.entries(SETTINGS)) {
  for (const when of ['before', 'after'] as const) {
    t.test(`the routes ignore ${name} that the host sets ${when} registering the plugin`, async (t) => {
      const { app, upstream } = await createHost(t, { [when]: set })
      t.strictSame(await answersOf(app), expected)
      t.strictSame(
        upstream.requests.map(({ body }) => body),
        [REQUESTS[0], REQUESTS[1], REQUESTS[9]].map((request) => request?.payload)
      )
    })
  }
}

t.test('pages of other origins can read the clear signal, beside the headers that the host exposes', async (t) => {
  for (const [exposedHeaders, expected] of [
    [undefined, 'Session-Ended'],
    ['X-Total', 'X-Total, Session-Ended'],
    [['X-Total', 'ETag'], 'X-Total, ETag, Session-Ended']
  ] as const) {
    for (const hook of ['onRequest', 'preHandler'] as const) {
      const { app } = await createHost(t, {
        before: (app) =>
          app.register(fastifyCors, { hook, ...(exposedHeaders && { exposedHeaders: [exposedHeaders].flat() }) }),
        after: (app) => app.get('/me', { preHandler: app.verifySession }, async (request) => request.session)
      })
      const token = await logIn(app)
      const header = 'access-control-expose-headers'
      t.equal((await app.inject(withToken(`${token}x`))).headers[header], expected)
      t.equal((await app.inject(logout(token))).headers[header], expected)
      const unsignalled = expected === 'Session-Ended' ? undefined : expected.replace(', Session-Ended', '')
      t.equal((await app.inject('/me')).headers[header], unsignalled)
    }
  }
})

t.test(
  'pages of other origins can read Retry-After, also when code of the host throws or answers the error',
  async (t) => {
    const errors = [new StoreUnavailableError(), new UpstreamBusyError('7'), new UpstreamBusyError()]
    for (const [error, expected] of errors.map(
      (error) => [error, 'retry-after' in error.headers ? 'Retry-After' : undefined] as const
    )) {
      for (const exposedHeaders of [undefined, ['X-Total', 'ETag'], ['retry-after'], '*']) {
        const { app } = await createHost(t, {
          before: (app) => app.register(fastifyCors, { ...(exposedHeaders && { exposedHeaders }) }),
          after(app) {
            const fail = async () => Promise.reject(error)
            app.get('/handler', fail)
            app.get('/hook', { preHandler: fail }, fail)
            app.get('/other-error', async () => Promise.reject(Object.assign(new Error('Busy'), { statusCode: 503 })))
            app.register(async (scope) => {
              scope.setErrorHandler(async (error) => Promise.reject(error))
              scope.get('/rethrown', fail)
            })
          }
        })
        const given = [exposedHeaders ?? []].flat()
        const exposed = (names: string[]) => names.join(', ') || undefined
        const all = expected && !given.includes('retry-after') ? [...given, expected] : given
        for (const url of ['/handler', '/hook', '/rethrown']) {
          const { statusCode, headers } = await app.inject(url)
          t.equal(statusCode, error.statusCode)
          t.equal(headers['retry-after'], error.headers['retry-after' as never])
          t.equal(headers['access-control-expose-headers'], exposed(all), `${url} ${given}`)
        }
        const other = await app.inject('/other-error')
        t.equal(other.headers['access-control-expose-headers'], exposed(given))
      }
    }
  }
)

t.test('the CORS plugin of the host answers a preflight, and neither guard nor handler runs', async (t) => {
  let runs = 0
  const { app } = await createHost(t, {
    before: (app) => app.register(fastifyCors),
    after: (app) => app.get('/me', { preHandler: app.verifySession }, async () => runs++)
  })
  const headers = { origin: 'https://app.example', 'access-control-request-method': 'POST' }
  for (const url of ['/me', '/user/login', '/user/logout']) {
    const answer = await app.inject({ method: 'OPTIONS', url, headers })
    t.equal(answer.statusCode, 204)
    t.notOk(answer.headers['session-ended'] ?? answer.headers['www-authenticate'])
  }
  t.equal(runs, 0)
})

t.test('@fastify/swagger documents every route', async (t) => {
  const document = async (settings: object, routes = {}) => {
    const { app } = await createHost(t, {
      before: (app) => app.register(fastifySwagger, settings),
      options: { routes }
    })
    // The document is served as JSON.
    return JSON.parse(JSON.stringify(app.swagger()))
  }

  const { paths } = await document({ openapi: {} }, { sessions: {}, events: {} })
  t.strictSame(Object.keys(paths), [
    '/user/login',
    '/user/register',
    '/user/logout',
    '/user/session',
    '/user/sessions',
    '/user/sessions/{id}',
    '/user/session/events'
  ])
  const { post: login } = paths['/user/login']
  const { post: register } = paths['/user/register']
  const { post: logout } = paths['/user/logout']
  const { get: list, delete: endOthers } = paths['/user/sessions']
  const { get: session, post: extend } = paths['/user/session']
  const { get: events, head } = paths['/user/session/events']
  t.equal(head, undefined)
  t.strictSame(Object.keys(events.responses), ['200', '401', '429', '503'])
  t.strictSame(Object.keys(events.responses['200'].content), ['text/event-stream'])
  t.strictSame(Object.keys(extend.responses), ['200', '401', '503'])
  t.strictSame(extend.responses['200'].content, session.responses['200'].content)
  t.notOk('requestBody' in extend)
  const others = [session, extend, events, list, endOthers, paths['/user/sessions/{id}'].delete]
  for (const { summary, responses } of [login, register, logout, ...others]) {
    t.ok(summary)
    for (const [statusCode, { description, content }] of Object.entries<Record<string, object>>(responses)) {
      t.ok(description, statusCode)
      if (statusCode >= '400') {
        t.match(content, { 'application/json': { schema: { required: ['statusCode', 'code', 'error', 'message'] } } })
      }
    }
  }
  const credentials = { username: { maxLength: 256 }, password: { minLength: 1, maxLength: 1_024 } }
  const bodyOf = (properties: object) => ({
    content: { 'application/json': { schema: { additionalProperties: false, properties } } }
  })
  t.match(login.requestBody, bodyOf(credentials))
  t.match(register.requestBody, bodyOf({ ...credentials, email: { type: 'string' } }))
  t.notOk(logout.requestBody)
  const user = { type: 'object', properties: { id: { type: 'string' } } }
  t.match(login.responses['200'].content['application/json'].schema.properties, {
    access_token: {},
    expires_in: {},
    user
  })
  t.match(register.responses['201'].content['application/json'].schema.properties, { user })
  t.strictSame(Object.keys(login.responses), ['200', '400', '401', '409', '413', '415', '429', '502', '503', '504'])
  t.strictSame(Object.keys(register.responses), ['201', '400', '409', '413', '415', '422', '429', '502', '503', '504'])
  t.strictSame(Object.keys(logout.responses), ['204', '503'])

  const old = await document({ swagger: {} }, { prefix: '/auth', register: false, login: { path: '/in' }, events: {} })
  t.strictSame(Object.keys(old.paths), ['/auth/in', '/auth/logout', '/auth/session', '/auth/session/events'])
})

t.test('routes.security is documented on the guarded routes only', async (t) => {
  const securitySchemes = { bearerAuth: { type: 'http', scheme: 'bearer' } } as const
  const security = [{ bearerAuth: [] }]
  for (const given of [undefined, security]) {
    const { app } = await createHost(t, {
      before: (app) => app.register(fastifySwagger, { openapi: { components: { securitySchemes } } }),
      options: { routes: { sessions: {}, events: {}, ...(given && { security: given }) } }
    })
    const operations = Object.entries<object>((app.swagger().paths ?? {}) as Record<string, object>).flatMap(
      ([path, methods]) =>
        Object.entries<{ security?: object }>(methods as never).map(([method, operation]) => [
          `${method} ${path}`,
          operation.security
        ])
    )
    t.strictSame(Object.fromEntries(operations), {
      'post /user/login': undefined,
      'post /user/register': undefined,
      'post /user/logout': undefined,
      'get /user/session': given,
      'post /user/session': given,
      'get /user/sessions': given,
      'delete /user/sessions': given,
      'delete /user/sessions/{id}': given,
      'get /user/session/events': given
    })
  }
})
