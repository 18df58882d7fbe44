import fastifyCors from '@fastify/cors'
import type { FastifyInstance, LightMyRequestResponse, RouteShorthandOptions } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, fastifyJwtSession, verifySession } from '../../lib/index.js'
import { logIn, SECRET, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createHost } from '../fixtures/host.js'
import { PASSWORD } from '../fixtures/planted-secrets.js'
import { upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const OPEN: RouteShorthandOptions = { config: { session: false } }
const MISSING = { statusCode: 401, code: 'FST_JWT_SESSION_MISSING' }
const INVALID_OPTION = { code: 'FST_JWT_SESSION_INVALID_OPTION', option: 'config.session' }

const whoAmI = async ({ session }: { session: unknown }) => ({ session })

function mountRoutes(app: FastifyInstance): void {
  app.get('/private', whoAmI)
  app.get('/open', OPEN, whoAmI)
  app.get('/optional', { config: { session: { optional: true } } }, whoAmI)
}

const post = (url: string, payload: object = {}) => ({ method: 'POST', url, payload }) as const
const credentials = { username: 'ada', password: PASSWORD }

async function assertGuarded(t: Test, app: FastifyInstance): Promise<void> {
  const token = await logIn(app)
  t.equal(
    (await app.inject(withToken('garbage', post('/user/login', credentials)))).statusCode,
    200,
    'a login ignores a bad token'
  )
  t.equal((await app.inject(post('/user/register', { ...credentials, username: 'grace' }))).statusCode, 201)
  t.equal((await app.inject(post('/user/logout'))).statusCode, 204)
  for (const url of ['/private', '/user/session', '/nowhere']) assertRefused(t, await app.inject(url), MISSING)
  assertRefused(t, await app.inject({ method: 'POST', url: '/nowhere' }), MISSING)
  t.equal((await app.inject(withToken(token, { url: '/nowhere' }))).statusCode, 404)
  t.match((await app.inject(withToken(token, { url: '/private' }))).json(), { session: { user: { id: 'ada' } } })
  t.equal((await app.inject(withToken('garbage', { url: '/private' }))).headers['session-ended'], 'invalid_token')
  for (const request of [
    { url: '/open' },
    withToken('garbage', { url: '/open' }),
    withToken(token, { url: '/open' })
  ]) {
    t.equal((await app.inject(request)).body, '{"session":null}', 'a public route ignores the token')
  }
  t.equal((await app.inject({ method: 'HEAD', url: '/open' })).statusCode, 200)
  t.equal((await app.inject({ method: 'HEAD', url: '/private' })).statusCode, 401)
  t.equal((await app.inject('/optional')).body, '{"session":null}')
  t.equal((await app.inject(withToken('garbage', { url: '/optional' }))).statusCode, 401)
}

for (const hook of ['onRequest', 'preHandler'] as const) {
  const guardWith = (guard: typeof verifySession) => (app: FastifyInstance) => {
    app.addHook(hook as 'onRequest', guard)
  }
  t.test(`${hook}: a guard of the whole app before the plugin leaves the public routes open`, async (t) => {
    await assertGuarded(t, (await createHost(t, { before: guardWith(verifySession), after: mountRoutes })).app)
  })

  t.test(`${hook}: a guard of the whole app after the plugin leaves the public routes open`, async (t) => {
    const after = (app: FastifyInstance) => {
      guardWith(app.verifySession)(app)
      mountRoutes(app)
    }
    await assertGuarded(t, (await createHost(t, { after })).app)
  })

  t.test(`${hook}: a guard of the whole app leaves public routes before the plugin open`, async (t) => {
    const before = (app: FastifyInstance) => {
      guardWith(verifySession)(app)
      mountRoutes(app)
    }
    await assertGuarded(t, (await createHost(t, { before })).app)
  })

  t.test(`${hook}: a guard that a hook of the whole app calls leaves the public routes open`, async (t) => {
    const before = (app: FastifyInstance) => {
      app.addHook(hook as 'onRequest', (request, reply, done) => {
        app.verifySession(request, reply, done)
      })
    }
    await assertGuarded(t, (await createHost(t, { before, after: mountRoutes })).app)
  })
}

t.test('a preflight is answered before the guard, and pages of other origins can read a refusal', async (t) => {
  const before = async (app: FastifyInstance) => {
    await app.register(fastifyCors, { origin: true })
    app.addHook('onRequest', verifySession)
  }
  const { app } = await createHost(t, { before, after: mountRoutes })
  const headers = { origin: 'https://app.example', 'access-control-request-method': 'GET' }
  for (const url of ['/private', '/user/login', '/nowhere']) {
    const answer = await app.inject({ method: 'OPTIONS', url, headers })
    t.equal(answer.statusCode, 204)
    t.equal(answer.headers['access-control-allow-origin'], 'https://app.example')
  }
  const refused = await app.inject({ url: '/private', headers })
  assertRefused(t, refused, MISSING)
  t.equal(refused.headers['access-control-allow-origin'], 'https://app.example')
})

t.test('a preflight is refused if the guard comes before @fastify/cors', async (t) => {
  const before = async (app: FastifyInstance) => {
    app.addHook('onRequest', verifySession)
    await app.register(fastifyCors, { origin: true })
  }
  const { app } = await createHost(t, { before, after: mountRoutes })
  const headers = { origin: 'https://app.example', 'access-control-request-method': 'GET' }
  assertRefused(t, await app.inject({ method: 'OPTIONS', url: '/private', headers }), MISSING)
})

t.test('a guard of a scope guards the routes and the not-found handler of the scope only', async (t) => {
  const after = (app: FastifyInstance) => {
    app.get('/outside', whoAmI)
    app.register(
      async (scope) => {
        scope.addHook('onRequest', verifySession)
        scope.setNotFoundHandler(async (_request, reply) => reply.code(404).send('nothing here'))
        mountRoutes(scope)
      },
      { prefix: '/api' }
    )
  }
  const { app } = await createHost(t, { after })
  t.equal((await app.inject('/outside')).statusCode, 200)
  t.equal((await app.inject('/nowhere')).statusCode, 404)
  t.equal((await app.inject('/api/open')).statusCode, 200)
  assertRefused(t, await app.inject('/api/private'), MISSING)
  assertRefused(t, await app.inject('/api/nowhere'), MISSING)
})

/** The guard of another copy of the package: another function with the same name. */
const ofAnotherCopy = Object.defineProperty((async () => {}) as typeof verifySession, 'name', {
  value: verifySession.name
})

const HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

for (const hook of HOOKS) {
  t.test(`a route with the guard in ${hook} cannot be public`, async (t) => {
    const { app } = await createHost(t, {
      after: (app) => {
        const guards = { imported: verifySession, decorated: app.verifySession, bound: verifySession.bind(null) }
        for (const [name, guard] of Object.entries({ ...guards, ofAnotherCopy })) {
          for (const hooks of [guard, [guard], [async () => {}, guard]]) {
            t.throws(() => app.get('/both', { ...OPEN, [hook]: hooks }, whoAmI), INVALID_OPTION, name)
          }
        }
        app.get('/open', { ...OPEN, [hook]: async () => {} }, whoAmI)
      }
    })
    t.equal((await app.inject('/both')).statusCode, 404)
    t.equal((await app.inject('/open')).statusCode, 200)
  })

  t.test(`a public route before the plugin with the guard in ${hook} is an error and not open`, async (t) => {
    const before = (app: FastifyInstance) => {
      app.get('/both', { ...OPEN, [hook]: verifySession }, whoAmI)
      app.register(async (scope) => {
        scope.addHook('onRequest', verifySession)
        scope.get('/both-in-scope', { ...OPEN, [hook]: [verifySession] }, whoAmI)
        scope.get('/open', OPEN, whoAmI)
      })
    }
    const { app } = await createHost(t, { before })
    for (const url of ['/both', '/both', '/both-in-scope']) {
      assertRefused(t, await app.inject(url), { statusCode: 500, code: INVALID_OPTION.code })
    }
    t.equal((await app.inject('/open')).statusCode, 200)
  })
}

t.test('a route that an onRoute hook has given the guard and made public is an error and not open', async (t) => {
  const after = (app: FastifyInstance) => {
    app.addHook('onRoute', (route) => void Object.assign(route, { ...OPEN, preHandler: verifySession }))
    app.get('/both', whoAmI)
  }
  const { app } = await createHost(t, { after })
  assertRefused(t, await app.inject('/both'), { statusCode: 500, code: INVALID_OPTION.code })
})

t.test('not-found handlers that share a config do not share an exemption', async (t) => {
  const after = (app: FastifyInstance) => {
    const handler = async () => 'nothing here'
    const scopes: Record<string, object> = { '/open': OPEN, '/both': { ...OPEN, preHandler: verifySession } }
    for (const [prefix, options] of Object.entries(scopes)) {
      app.register(
        async (scope) => {
          if (prefix === '/open') scope.addHook('onRequest', verifySession)
          scope.setNotFoundHandler(options, handler)
        },
        { prefix }
      )
    }
  }
  const { app } = await createHost(t, { after })
  t.equal((await app.inject('/open/nowhere')).body, 'nothing here')
  assertRefused(t, await app.inject('/both/nowhere'), { statusCode: 500, code: INVALID_OPTION.code })
})

const POLLUTION: Record<string, unknown> = {
  optional: true,
  session: false,
  config: { session: false },
  slide: 'no',
  isPublic: true,
  freshSeconds: 1
}

for (const [name, value] of Object.entries(POLLUTION)) {
  t.test(`Object.prototype.${name} opens no route and closes no route`, async (t) => {
    const app = createWatchedFastify(t)
    await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, store: createMemoryStore() })
    app.get('/before', { preHandler: verifySession }, whoAmI)
    app.get('/settings-before', { preHandler: verifySession, config: { session: { slide: false } } }, whoAmI)
    Object.defineProperty(Object.prototype, name, { value, configurable: true, writable: true, enumerable: false })
    let answers: LightMyRequestResponse[]
    try {
      app.get('/bare', { preHandler: verifySession }, whoAmI)
      app.get('/config', { preHandler: verifySession, config: {} }, whoAmI)
      app.get('/settings', { preHandler: verifySession, config: { session: {} } }, whoAmI)
      app.register(async (scope) => {
        scope.addHook('onRequest', verifySession)
        scope.get('/scope', whoAmI)
      })
      await app.ready()
      const urls = ['/before', '/settings-before', '/bare', '/config', '/settings', '/scope', '/user/session']
      answers = await Promise.all(urls.map((url) => app.inject(url)))
    } finally {
      delete (Object.prototype as Record<string, unknown>)[name]
    }
    for (const answer of answers) assertRefused(t, answer, MISSING)
  })
}

t.test('inherited route settings do not count', async (t) => {
  const after = (app: FastifyInstance) => {
    app.get('/config', { preHandler: verifySession, config: Object.create({ session: { optional: true } }) }, whoAmI)
    for (const session of [Object.create({ optional: true }), true, null, 0, '', [], 'false']) {
      t.throws(() => app.get('/bad', { preHandler: verifySession, config: { session } }, whoAmI), INVALID_OPTION)
    }
  }
  const { app } = await createHost(t, { after })
  assertRefused(t, await app.inject('/config'), MISSING)
})

t.test('settings are read once: later changes open no route', async (t) => {
  const session: { optional?: boolean } = {}
  const { app } = await createHost(t, {
    after: (app) => app.get('/private', { preHandler: verifySession, config: { session } }, whoAmI)
  })
  assertRefused(t, await app.inject('/private'), MISSING)
  session.optional = true
  assertRefused(t, await app.inject('/private'), MISSING)
})
