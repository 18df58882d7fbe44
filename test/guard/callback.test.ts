import fastifyAuth from '@fastify/auth'
import Fastify, {
  type FastifyInstance,
  type FastifyReply,
  type FastifyRequest,
  type preParsingHookHandler
} from 'fastify'
import t, { type Test } from 'tap'
import {
  createMemoryStore,
  createRedisStore,
  fastifyJwtSession,
  type JwtSessionError,
  verifySession
} from '../../lib/index.js'
import { IS_CACHED, SECRET, withToken } from '../fixtures/app.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const rejections: unknown[] = []
const onRejection = (reason: unknown) => void rejections.push(reason)
process.on('unhandledRejection', onRejection)
t.teardown(() => process.off('unhandledRejection', onRejection))
type Done = (error?: Error) => void
type Guard = typeof verifySession

/** Every way to call a guard in a hook. */
const BY_HAND: Record<string, (guard: Guard) => Guard> = {
  verifySession: (guard) => guard,
  'a function that calls the guard': (guard) =>
    ((request: FastifyRequest, reply: FastifyReply, done: Done) => {
      guard(request, reply, done)
    }) as Guard,
  'a function that returns the promise of the guard': (guard) =>
    ((request: FastifyRequest, reply: FastifyReply, done: Done) => guard(request, reply, done)) as Guard,
  'an async function': (guard) =>
    (async (request: FastifyRequest, reply: FastifyReply) => {
      await guard(request, reply)
    }) as Guard,
  'a callback after the promise of the guard': (guard) =>
    ((request: FastifyRequest, reply: FastifyReply, done: Done) => {
      guard(request, reply).then(() => done(), done)
    }) as Guard
}

async function createHost(t: Test, mount: (app: FastifyInstance, ran: string[]) => unknown) {
  let storeIsDown = false
  const ran: string[] = []
  const warnings: string[] = []
  const memory = IS_CACHED ? createRedisStore(await connectRedis(t)) : createMemoryStore()
  const find = async (id: string) => (storeIsDown ? Promise.reject(new Error('Store is down')) : memory.find(id))
  const stream = { write: (line: string) => void (JSON.parse(line).level === 40 && warnings.push(line)) }
  const app = createWatchedFastify(t, { logger: { stream } })
  await app.register(fastifyAuth)
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream,
    store: { ...memory, find },
    cache: IS_CACHED
  })
  app.addHook('onSend', async () => {
    await new Promise(setImmediate)
  })
  await mount(app, ran)
  await app.ready()
  const { token } = await app.sessions.create({ id: 'ada' })
  const { token: unseen } = await app.sessions.create({ id: 'ada' })
  return {
    app,
    ran,
    warnings,
    async visit(url: string) {
      const good = await app.inject(withToken(token, { method: 'POST', url }))
      const again = await app.inject(withToken(token, { method: 'POST', url }))
      const bad = await app.inject(withToken('garbage', { method: 'POST', url }))
      const none = await app.inject({ method: 'POST', url })
      storeIsDown = true
      const down = await app.inject(withToken(unseen, { method: 'POST', url }))
      storeIsDown = false
      // The guard rejects after the answer has been sent.
      await new Promise(setImmediate)
      return [good, again, bad, none, down].map(({ statusCode }) => statusCode)
    }
  }
}

for (const hook of ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const) {
  for (const [name, callWith] of Object.entries(BY_HAND)) {
    t.test(`${hook}, ${name}: the handler runs only after a good token, and one answer is sent`, async (t) => {
      const { ran, warnings, visit } = await createHost(t, (app, ran) => {
        for (const [path, guard] of Object.entries({ '/imported': verifySession, '/decorated': app.verifySession })) {
          const called = callWith(guard)
          const inPreParsing: preParsingHookHandler = (request, reply, _payload, done) => {
            const result: unknown = called(request, reply, done as Done)
            return result
          }
          const hooked = hook === 'preParsing' && name !== 'verifySession' ? inPreParsing : called
          app.post(path, { [hook]: hooked }, async () => {
            ran.push(path)
            return 'secret'
          })
        }
      })
      for (const path of ['/imported', '/decorated']) {
        t.strictSame(await visit(path), [200, 200, 401, 401, 503])
        t.strictSame(ran.splice(0), [path, path])
      }
      t.strictSame(warnings, [], 'no second answer')
    })
  }
}

t.test('no handler runs after a refusal by the guard inside a handler or inside @fastify/auth', async (t) => {
  const { ran, warnings, visit } = await createHost(t, (app, ran) => {
    const handler = async () => {
      ran.push('handler')
      return 'secret'
    }
    app.post('/handler', async (request, reply) => {
      await app.verifySession(request, reply)
      return handler()
    })
    for (const relation of ['and', 'or'] as const) {
      app.post(`/${relation}`, { preHandler: app.auth([verifySession], { relation }) }, handler)
      const both = app.auth([verifySession, async () => {}], { relation })
      app.post(`/${relation}-both`, { preHandler: both }, handler)
    }
  })
  for (const path of ['/handler', '/and', '/or', '/and-both', '/or-both']) {
    t.strictSame(await visit(path), [200, 200, 401, 401, 503], path)
    t.strictSame(ran.splice(0), ['handler', 'handler'], path)
  }
  t.strictSame(warnings, [])
})

t.test('a guard that is called without await ends neither the process nor the app', async (t) => {
  const { visit } = await createHost(t, (app) => {
    app.post('/once', async (request, reply) => {
      app.verifySession(request, reply)
      return 'the handler answers too'
    })
    const unawaited = async (request: FastifyRequest, reply: FastifyReply) => {
      app.verifySession(request, reply)
    }
    app.post('/hook', { preHandler: unawaited }, async () => 'secret')
  })
  for (const path of ['/once', '/hook']) t.equal((await visit(path)).length, 5)
})

t.test('two concurrent calls of the guard send one error reply', async (t) => {
  const { app, warnings } = await createHost(t, (app) => {
    app.post('/twice', async (request, reply) => {
      app.verifySession(request, reply)
      app.verifySession(request, reply)
      return reply
    })
  })
  for (const request of [{}, withToken('garbage', {})]) {
    t.equal((await app.inject({ ...request, method: 'POST', url: '/twice' })).statusCode, 401)
  }
  t.strictSame(warnings, [])
})

t.test('with a callback the guard returns nothing and calls the callback once', async (t) => {
  const calls: unknown[][] = []
  const returned: unknown[] = []
  const { visit } = await createHost(t, (app) => {
    app.post('/', (request, reply) => {
      returned.push(
        app.verifySession(request, reply, (...errors) => {
          const codes = errors.map((error) => (error as JwtSessionError).code)
          calls.push([...codes, reply.raw.writableEnded])
          if (!reply.raw.writableEnded) reply.send('good')
        })
      )
    })
  })
  t.strictSame(await visit('/'), [200, 200, 401, 401, 503])
  t.strictSame(returned, Array(5).fill(undefined))
  t.strictSame(calls, [
    [false],
    [false],
    ['FST_JWT_SESSION_ENDED', true],
    ['FST_JWT_SESSION_MISSING', true],
    ['FST_JWT_SESSION_STORE_UNAVAILABLE', true]
  ])
})

t.test('without a callback the guard rejects with the error of the answer', async (t) => {
  const seen: unknown[] = []
  const { visit } = await createHost(t, (app) => {
    app.post('/', async (request, reply) => {
      const promise = app.verifySession(request, reply)
      await promise.then(
        () => seen.push('good'),
        (error) => seen.push(error.code)
      )
      return reply.sent ? reply : 'good'
    })
  })
  t.strictSame(await visit('/'), [200, 200, 401, 401, 503])
  t.strictSame(seen, [
    'good',
    'good',
    'FST_JWT_SESSION_ENDED',
    'FST_JWT_SESSION_MISSING',
    'FST_JWT_SESSION_STORE_UNAVAILABLE'
  ])
})

t.test('a callback that throws is called once, and the request is answered', async (t) => {
  for (const thrown of [new Error('A bug of the host'), 'text', undefined]) {
    let calls = 0
    const { visit } = await createHost(t, (app) => {
      app.post('/', {
        preHandler: (request, reply) => {
          app.verifySession(request, reply, () => {
            calls++
            throw thrown ?? Object.create(null)
          })
        },
        handler: async () => 'secret'
      })
    })
    t.strictSame(await visit('/'), [500, 500, 401, 401, 503])
    t.equal(calls, 5)
  }
})

t.test('the imported guard without a registration fails in each form', async (t) => {
  const app = Fastify()
  t.teardown(() => app.close())
  for (const [name, callWith] of Object.entries(BY_HAND)) {
    app.get(`/${name.replaceAll(' ', '-')}`, { preHandler: callWith(verifySession) }, async () => 'secret')
  }
  for (const name of Object.keys(BY_HAND)) {
    const answer = await app.inject(`/${name.replaceAll(' ', '-')}`)
    t.match(answer.json(), { statusCode: 500, code: 'FST_JWT_SESSION_NOT_REGISTERED' }, name)
  }
})

t.test('no rejection was unhandled', async (t) => {
  // Node reports an unhandled rejection after the turn.
  await new Promise(setImmediate)
  t.strictSame(rejections, [])
})
