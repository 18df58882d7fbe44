import { setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { withToken } from '../fixtures/app.js'
import { createFaults } from '../fixtures/faults.js'
import { createGuardedHost, GUARDED } from '../fixtures/guarded.js'

const INVALID_TOKEN = 'Bearer realm="session", error="invalid_token"'

/** The exact answers of the guard. */
const REFUSALS: Record<string, [body: string, headers: Record<string, string>]> = {
  missing: [
    '{"statusCode":401,"code":"FST_JWT_SESSION_MISSING","error":"Unauthorized","message":"Authentication is required"}',
    { 'www-authenticate': 'Bearer realm="session"' }
  ],
  ended: [
    '{"statusCode":401,"code":"FST_JWT_SESSION_ENDED","error":"Unauthorized","message":"The session has ended","reason":"revoked"}',
    {
      'www-authenticate': INVALID_TOKEN,
      'clear-site-data': '"storage"',
      'session-ended': 'revoked',
      'access-control-expose-headers': 'Session-Ended'
    }
  ],
  invalid: [
    '{"statusCode":401,"code":"FST_JWT_SESSION_ENDED","error":"Unauthorized","message":"The session has ended","reason":"invalid_token"}',
    {
      'www-authenticate': INVALID_TOKEN,
      'clear-site-data': '"storage"',
      'session-ended': 'invalid_token',
      'access-control-expose-headers': 'Session-Ended'
    }
  ],
  unavailable: [
    '{"statusCode":503,"code":"FST_JWT_SESSION_STORE_UNAVAILABLE","error":"Service Unavailable","message":"The session store is unavailable"}',
    { 'retry-after': '1', 'access-control-expose-headers': 'Retry-After' }
  ]
}

/** Settings of an application that must not change the answers of the guard. */
const HOSTS: Record<string, (app: FastifyInstance) => unknown> = {
  'with no settings': () => {},
  'with a slow async onSend hook': (app) =>
    app.addHook('onSend', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }),
  'with a slow callback onSend hook': (app) =>
    app.addHook('onSend', (_request, _reply, payload, done) => void setTimeout(done, 20, null, payload)),
  'with an error handler': (app) =>
    app.setErrorHandler((_error, _request, reply) => reply.code(200).send({ host: true })),
  'with a slow onError hook': (app) =>
    app.addHook('onError', async () => {
      await new Promise((resolve) => setTimeout(resolve, 20))
    }),
  'with a response schema for 401': (app) =>
    app.addHook('onRoute', (route) => {
      const error = { type: 'object', properties: { message: { type: 'string' } } }
      route.schema = { response: { 401: error, 503: error } }
    }),
  'with a response schema for all errors that needs other fields': (app) =>
    app.addHook('onRoute', (route) => {
      const error = { type: 'object', required: ['detail'], properties: { detail: { type: 'string' } } }
      route.schema = { response: { '4xx': error, '5xx': error } }
    }),
  'with a serializer': (app) => app.setSerializerCompiler(() => () => '"host"'),
  'with a reply serializer': (app) => app.setReplySerializer(() => '"host"'),
  'with an envelope around every answer': (app) =>
    app.addHook('preSerialization', async (_request, _reply, payload) => ({ data: payload }))
}

for (const [name, prepare] of Object.entries(HOSTS)) {
  t.test(`a refusal of an application ${name} has the exact bytes in every place, and no handler runs`, async (t) => {
    const { refusals, ran } = await createGuardedHost(t, prepare)
    const faults = createFaults()
    for (const path of GUARDED) {
      for (const [name, answer] of Object.entries(await refusals(path))) {
        const [body, headers] = REFUSALS[name] ?? []
        const expected = {
          statusCode: name === 'unavailable' ? 503 : 401,
          'content-type': 'application/json; charset=utf-8',
          'content-length': String(body?.length),
          'cache-control': 'no-store',
          ...headers
        }
        faults.compare(
          `${path}: ${name}`,
          { body: answer.body, ...essential(answer), ran },
          { body, ...expected, ran: [] }
        )
      }
    }
    faults.assertNone(t)
  })
}

function essential({ statusCode, headers }: LightMyRequestResponse) {
  const { date, connection, ...rest } = headers
  return { statusCode, ...rest }
}

t.test('with a live session the handler runs once and gets the session', async (t) => {
  const { app, ran, token } = await createGuardedHost(t)
  for (const path of GUARDED) {
    ran.length = 0
    const answer = await app.inject(withToken(token, { url: path }))
    t.equal(answer.statusCode, 200, path)
    t.match(answer.json(), { id: /^[\w-]{38}$/, user: { id: 'ada' } })
    t.strictSame(
      ran.filter((name) => name === path),
      [path]
    )
  }
})

t.test('a failing onSend hook of the host turns a refusal into an error, and no handler runs', async (t) => {
  const fails = (app: FastifyInstance) =>
    app.addHook('onSend', async (request) => {
      await turn()
      // Fails once per request: the answer of the error handler is sent.
      if (!failed.has(request)) {
        failed.add(request)
        throw new Error('A bug of the host')
      }
    })
  const failed = new WeakSet<object>()
  const byDefault = await createGuardedHost(t, fails)
  const withHandler = await createGuardedHost(t, (app) =>
    fails(app).setErrorHandler((_error, _request, reply) => reply.code(418).send({ host: true }))
  )
  for (const path of GUARDED) {
    for (const answer of Object.values(await byDefault.refusals(path))) {
      t.ok(answer.statusCode >= 400, path)
      t.match(answer.json(), { message: 'A bug of the host' })
    }
    for (const answer of Object.values(await withHandler.refusals(path))) {
      t.equal(answer.statusCode, 418)
      t.equal(answer.body, '{"host":true}')
    }
  }
  t.strictSame([byDefault.ran, withHandler.ran], [[], []])
})
