import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t from 'tap'
import { createHost } from '../fixtures/host.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const HOOKS: Record<string, (app: FastifyInstance, thrown: unknown) => unknown> = {
  onRequest: (app, thrown) =>
    app.addHook('onRequest', async () => {
      throw thrown
    }),
  preParsing: (app, thrown) =>
    app.addHook('preParsing', async () => {
      throw thrown
    }),
  preValidation: (app, thrown) =>
    app.addHook('preValidation', async () => {
      throw thrown
    }),
  preHandler: (app, thrown) =>
    app.addHook('preHandler', async () => {
      throw thrown
    })
}

const THROWN: Record<string, unknown> = {
  'the 429 of a rate limiter': Object.assign(new Error('Rate limit exceeded, retry in 1 minute'), {
    statusCode: 429,
    headers: { 'retry-after': '60' }
  }),
  'the object of a rate limiter’s errorResponseBuilder': { statusCode: 429, error: 'Too Many Requests', retry: 60 },
  'an error of a status that the routes document': Object.assign(new Error('Not from this country'), {
    statusCode: 401,
    code: 'GEO_BLOCKED'
  }),
  'an error without a status': new Error('A bug of the host'),
  'an error whose code is a number, as MongoDB’s are': Object.assign(new Error('E11000'), { code: 11_000 }),
  'an error with the status in `status`': Object.assign(new Error('Down for maintenance'), { status: 503 }),
  'a text': 'not even an error'
}

const requests = [
  postJson('/user/login', CREDENTIALS),
  postJson('/user/register', CREDENTIALS),
  postJson('/user/logout', '{}')
]

function partsOf({ statusCode, body, headers }: LightMyRequestResponse) {
  return { statusCode, body, 'retry-after': headers['retry-after'], 'cache-control': headers['cache-control'] }
}

for (const [hook, addHook] of Object.entries(HOOKS)) {
  for (const [name, thrown] of Object.entries(THROWN)) {
    t.test(`a value that the host throws in ${hook} is answered as on any route: ${name}`, async (t) => {
      const plain = createWatchedFastify(t)
      addHook(plain, thrown)
      const { app, upstream } = await createHost(t, { before: (app) => addHook(app, thrown) })
      for (const request of requests) {
        plain.post(String(request.url), async () => 'not reached')
      }
      for (const request of requests) {
        const expected = await plain.inject(request)
        const answer = await app.inject(request)
        t.strictSame(partsOf(answer), { ...partsOf(expected), 'cache-control': 'no-store' })
      }
      t.strictSame(upstream.requests, [])
    })

    t.test(`the error handler of the host gets the value thrown in ${hook}: ${name}`, async (t) => {
      const seen: unknown[] = []
      const { app } = await createHost(t, {
        before: (app) => {
          addHook(app, thrown)
          app.setErrorHandler((error, _request, reply) => {
            seen.push(error)
            return reply.code(418).send({ host: true })
          })
        }
      })
      for (const request of requests) {
        const { statusCode, body, headers } = await app.inject(request)
        t.strictSame([statusCode, body, headers['cache-control']], [418, '{"host":true}', 'no-store'])
      }
      t.equal(seen.length, requests.length)
      t.ok(seen.every((error) => error === thrown))
    })
  }
}

t.test('an error handler of the host may send the given error', async (t) => {
  const thrown = Object.assign(new Error('Slow down'), { statusCode: 429, code: 'HOST_BUSY' })
  let runs = 0
  const { app } = await createHost(t, {
    before: (app) =>
      app
        .addHook('preHandler', async () => {
          throw thrown
        })
        .setErrorHandler((error, _request, reply) => {
          runs++
          reply.send(error)
        })
  })
  for (const request of requests) {
    t.strictSame((await app.inject(request)).json(), {
      statusCode: 429,
      code: 'HOST_BUSY',
      error: 'Too Many Requests',
      message: 'Slow down'
    })
  }
  t.equal(runs, requests.length)
})

t.test('an answer by a hook of the host is sent, and is not cacheable', async (t) => {
  const { app, upstream } = await createHost(t, {
    before: (app) => app.addHook('onRequest', async (_request, reply) => reply.code(451).send({ host: true }))
  })
  for (const request of requests) {
    const answer = await app.inject(request)
    t.equal(answer.statusCode, 451)
    t.equal(answer.body, '{"host":true}')
    t.equal(answer.headers['cache-control'], 'no-store')
  }
  t.strictSame(upstream.requests, [])
})

t.test('the answers of the routes are not cacheable, even if the host makes all answers cacheable', async (t) => {
  const { app } = await createHost(t, {
    before: (app) =>
      app
        .addHook('onRequest', (_request, reply, done) => {
          reply.header('cache-control', 'public')
          done()
        })
        .addHook('onSend', (_request, reply, _payload, done) => {
          reply.header('cache-control', 'public, max-age=60')
          done()
        })
  })
  for (const request of [...requests, postJson('/user/login', '{}')]) {
    t.equal((await app.inject(request)).headers['cache-control'], 'no-store')
  }
})

t.test('a body is checked even if the host attaches validation errors to the request', async (t) => {
  const { app, upstream } = await createHost(t, {
    before: (app) =>
      app.addHook('onRoute', (route) => {
        route.attachValidation = true
      })
  })
  for (const body of [{ ...CREDENTIALS, username: 1 }, { ...CREDENTIALS, more: 1 }, {}, []]) {
    for (const url of ['/user/login', '/user/register']) {
      t.equal((await app.inject(postJson(url, body))).statusCode, 400)
    }
  }
  t.strictSame(upstream.requests, [])
})
