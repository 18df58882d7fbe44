import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { hasRouteGuard } from '../../lib/guard/guard-hooks.js'
import type { AnyRequest } from '../../lib/http/error-reply.js'
import { fastifyJwtSession, verifySession } from '../../lib/index.js'
import { SECRET } from '../fixtures/app.js'
import { createHost } from '../fixtures/host.js'
import { upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const LATE = ['preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort'] as const
const CODE = 'FST_JWT_SESSION_INVALID_OPTION'

const handler = async () => 'secret'
const pass = async (_request: unknown) => {}
const addHook = (app: FastifyInstance, name: string, hook: unknown) => app.addHook(name as 'onRequest', hook as never)
const options = { jwt: { secret: SECRET }, upstream }

for (const hook of LATE) {
  t.test(`a route with the guard in ${hook} fails at the registration`, async (t) => {
    await createHost(t, {
      after: (app) => {
        for (const guard of [verifySession, app.verifySession, app.verifySession.bind(app)]) {
          for (const hooks of [guard, [guard], [pass, guard]]) {
            t.throws(() => app.get('/late', { [hook]: hooks }, handler), { code: CODE, option: hook })
            t.throws(() => app.get('/late', { onRequest: verifySession, [hook]: hooks }, handler), { code: CODE })
          }
        }
        app.get('/other', { [hook]: [pass] }, handler)
      }
    })
  })

  t.test(`a scope with the guard in ${hook} fails the start, before and after the plugin`, async (t) => {
    const places: Record<string, (app: FastifyInstance) => unknown> = {
      'the app before the plugin': async (app) => {
        addHook(app, hook, verifySession)
        await app.register(fastifyJwtSession, options)
      },
      'the app after the plugin': async (app) => {
        await app.register(fastifyJwtSession, options)
        addHook(app, hook, app.verifySession)
      },
      'a scope, beside other hooks': async (app) => {
        await app.register(fastifyJwtSession, options)
        app.register(async (scope) => {
          addHook(scope, hook, pass)
          addHook(scope, hook, verifySession)
          scope.get('/late', handler)
        })
      },
      'a scope before the plugin': async (app) => {
        app.register(async (scope) => {
          addHook(scope, hook, verifySession)
          scope.get('/late', handler)
        })
        await app.register(fastifyJwtSession, options)
      },
      'a route before the plugin': async (app) => {
        app.get('/late', { [hook]: [pass, verifySession] }, handler)
        await app.register(fastifyJwtSession, options)
      }
    }
    for (const [name, prepare] of Object.entries(places)) {
      const app = createWatchedFastify(t)
      await t.rejects(
        (async () => {
          await prepare(app)
          await app.ready()
        })(),
        { code: CODE, option: hook, message: new RegExp(hook) },
        name
      )
    }
  })
}

t.test('a hook of the host with the name of the guard does not count as the guard', async (t) => {
  const { app } = await createHost(t, {
    before: (app) => {
      for (const hook of ['onSend', 'onResponse']) addHook(app, hook, async function verifySession() {})
    },
    after: (app) => {
      app.get('/open', { config: { session: false }, preHandler: async function verifySession() {} }, handler)
    }
  })
  t.equal((await app.inject('/open')).body, 'secret')
})

t.test('a public route counts as guarded if Fastify does not show the hooks of the route', (t) => {
  t.equal(hasRouteGuard({ server: {} } as AnyRequest), true)
  t.end()
})
