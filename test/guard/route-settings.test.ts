import type { FastifyInstance, LightMyRequestResponse } from 'fastify'
import t, { type Test } from 'tap'
import { createRedisStore, fastifyJwtSession, type SessionRouteSettings } from '../../lib/index.js'
import { logIn, SECRET, withToken } from '../fixtures/app.js'
import { assertRefused } from '../fixtures/assert-refused.js'
import { createGuardedHost, GUARDED } from '../fixtures/guarded.js'
import { createHost } from '../fixtures/host.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { createRecordingStore, freezeClock, NOW, upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const FRESH = 300

/** An app with the guard in every place, and these settings on each route. */
function createHostWith(t: Test, session: SessionRouteSettings) {
  return createGuardedHost(t, (app) =>
    app.addHook('onRoute', (route) => {
      if (route.url.startsWith('/user/')) return
      route.config = { ...route.config, session }
    })
  )
}

function assertNotFresh(t: Test, answer: LightMyRequestResponse): void {
  assertRefused(t, answer, { statusCode: 401, code: 'FST_JWT_SESSION_NOT_FRESH' })
  t.equal(
    answer.body,
    '{"statusCode":401,"code":"FST_JWT_SESSION_NOT_FRESH","error":"Unauthorized","message":"A more recent login is required"}'
  )
  t.equal(
    answer.headers['www-authenticate'],
    `Bearer realm="session", error="insufficient_user_authentication", max_age="${FRESH}"`
  )
}

t.test('freshSeconds accepts only a recent login, in every place of the guard', async (t) => {
  const clock = freezeClock(t)
  const { app, ran, token, refusals } = await createHostWith(t, { freshSeconds: FRESH })
  for (const path of GUARDED) {
    await t.test(`freshSeconds is checked on ${path}`, async (t) => {
      for (const [age, isFresh] of [
        [0, true],
        [FRESH - 0.001, true],
        [FRESH, true],
        [FRESH + 0.001, false],
        [FRESH + 1, false],
        [1_700, false]
      ] as const) {
        clock.now = NOW + age
        ran.length = 0
        const answer = await app.inject(withToken(token, { url: path }))
        if (isFresh) t.equal(answer.statusCode, 200)
        else assertNotFresh(t, answer)
        t.equal(ran.includes(path), isFresh)
      }
      ran.length = 0
      const { missing, ended, invalid, unavailable } = await refusals(path)
      t.equal(missing?.json().code, 'FST_JWT_SESSION_MISSING', 'other refusals are unchanged')
      t.equal(ended?.json().reason, 'revoked')
      t.equal(invalid?.json().reason, 'invalid_token')
      t.equal(unavailable?.statusCode, 503)
      t.strictSame(ran, [])
      clock.now = NOW
    })
  }
})

for (const name of ['memory', 'redis']) {
  t.test(`freshSeconds and slide work in the ${name} store:`, async (t) => {
    async function createFreshHost(t: Test) {
      const store = name === 'redis' ? createRedisStore(await connectRedis(t)) : createRecordingStore(t)
      const clock = freezeClock(t)
      const after = (app: FastifyInstance) => {
        const preHandler = app.verifySession
        app.get('/me', { preHandler }, async ({ session }) => session)
        app.post('/update', { preHandler }, async ({ session }) => session.update({ at: Date.now() }))
        app.get('/fresh', { preHandler, config: { session: { freshSeconds: FRESH } } }, async () => 'fresh')
        app.get('/still', { preHandler, config: { session: { slide: false } } }, async () => 'still')
        app.get('/slide', { preHandler, config: { session: { slide: true } } }, async () => 'slide')
      }
      const session = { ttlSeconds: 3_600, idleTimeoutSeconds: 600 }
      return { clock, ...(await createHost(t, { after, options: { store, session } })) }
    }

    t.test('neither activity nor an update makes a login recent; a new login is recent', async (t) => {
      const { app, clock } = await createFreshHost(t)
      const token = await logIn(app)
      for (let second = 0; second <= FRESH; second += 60) {
        clock.now = NOW + second
        t.equal((await app.inject(withToken(token))).statusCode, 200)
        t.equal((await app.inject(withToken(token, { method: 'POST', url: '/update' }))).statusCode, 200)
        t.equal((await app.inject(withToken(token, { url: '/fresh' }))).statusCode, 200)
      }
      clock.now = NOW + FRESH + 0.001
      assertNotFresh(t, await app.inject(withToken(token, { url: '/fresh' })))
      t.equal((await app.inject(withToken(token))).statusCode, 200, 'the session is still live')
      const renewed = await logIn(app, 'ada', { authorization: `Bearer ${token}` })
      t.equal((await app.inject(withToken(renewed, { url: '/fresh' }))).statusCode, 200)
      t.equal((await app.inject(withToken(token, { url: '/fresh' }))).json().reason, 'logged_in_again')
    })

    t.test('slide: false extends no session, and slide: true is the default', async (t) => {
      const { app, clock } = await createFreshHost(t)
      const tokens = { still: await logIn(app), slide: await logIn(app), me: await logIn(app) }
      for (const second of [300, 599.999]) {
        clock.now = NOW + second
        for (const [path, token] of Object.entries(tokens)) {
          t.equal((await app.inject(withToken(token, { url: `/${path}` }))).statusCode, 200)
          t.ok(await app.sessions.isReady())
        }
      }
      clock.now = NOW + 600
      t.equal((await app.inject(withToken(tokens.still))).json().reason, 'expired')
      t.equal((await app.inject(withToken(tokens.slide))).statusCode, 200)
      t.equal((await app.inject(withToken(tokens.me))).statusCode, 200)
    })

    t.test('a request that freshSeconds rejects does not extend the session', async (t) => {
      const { app, clock } = await createFreshHost(t)
      const token = await logIn(app)
      clock.now = NOW + 599
      assertNotFresh(t, await app.inject(withToken(token, { url: '/fresh' })))
      t.ok(await app.sessions.isReady())
      clock.now = NOW + 600
      t.equal((await app.inject(withToken(token))).json().reason, 'expired')
    })
  })
}

t.test(
  'optional accepts a request without a token, and rejects a request with a bad token, in every place of the guard',
  async (t) => {
    const { app, ran, token, refusals } = await createHostWith(t, { optional: true })
    for (const path of GUARDED) {
      await t.test(`optional is checked on ${path}`, async (t) => {
        const { missing, ended, invalid, unavailable } = await refusals(path)
        t.equal(missing?.statusCode, 200)
        t.equal(missing?.body, 'null')
        t.notOk(missing?.headers['www-authenticate'] ?? missing?.headers['session-ended'])
        t.strictSame(
          ran.filter((url) => url === path),
          [path],
          'the handler has run only for the request without a token'
        )
        for (const [answer, reason] of [
          [ended, 'revoked'],
          [invalid, 'invalid_token']
        ] as const) {
          t.match(answer?.json(), { code: 'FST_JWT_SESSION_ENDED', reason })
          t.match(answer?.headers, { 'session-ended': reason, 'clear-site-data': '"storage"' })
        }
        t.ok(unavailable)
        if (unavailable) assertRefused(t, unavailable, { statusCode: 503, code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
        t.equal((await app.inject(withToken(token, { url: path }))).json().user.id, 'ada')
        ran.length = 0
      })
    }
  }
)

t.test('on an optional route only a bearer token counts, and a bad bearer token is rejected', async (t) => {
  const { app, ran } = await createHostWith(t, { optional: true })
  for (const authorization of ['Basic YWRhOng=', 'Digest x', '', 'Bearer null', 'bearer undefined', 'Bearer ']) {
    const answer = await app.inject({ url: '/pre-handler', headers: { authorization } })
    t.equal(answer.body, 'null', authorization)
    t.notOk(answer.headers['session-ended'] ?? answer.headers['clear-site-data'], 'there is no clear signal')
  }
  ran.length = 0
  for (const token of ['x', '.', '..', 'a.b.c', 'Bearer', '{}', '"', `${'x'.repeat(9_000)}`]) {
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'Bearer   ']) {
      const answer = await app.inject({ url: '/pre-handler', headers: { authorization: `${scheme} ${token}` } })
      t.match(answer.json(), { code: 'FST_JWT_SESSION_ENDED', reason: 'invalid_token' }, token.slice(0, 9))
      t.equal(answer.headers['session-ended'], 'invalid_token')
    }
  }
  t.strictSame(ran, [])
})

t.test('optional with freshSeconds accepts no session, or a session with a recent login', async (t) => {
  const clock = freezeClock(t)
  const { app, token } = await createHostWith(t, { optional: true, freshSeconds: FRESH })
  clock.now = NOW + FRESH + 1
  t.equal((await app.inject('/pre-handler')).body, 'null')
  assertNotFresh(t, await app.inject(withToken(token, { url: '/pre-handler' })))
})

for (const prefix of ['/', '/v1']) {
  t.test(`the guard of a not-found handler below ${prefix} has route settings`, async (t) => {
    const clock = freezeClock(t)
    const ran: string[] = []
    async function createNotFoundHost(session: unknown) {
      const app = createWatchedFastify(t)
      app.register(
        async (scope) => {
          await scope.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream })
          const guarded = { preHandler: scope.verifySession, config: { session } }
          scope.setNotFoundHandler(guarded, async ({ url, session }, reply) => {
            ran.push(url)
            return reply.code(404).send({ user: session?.user ?? null })
          })
        },
        { prefix }
      )
      await app.ready()
      const base = prefix === '/' ? '' : prefix
      const payload = { username: 'ada', password: 'x' }
      const login = await app.inject({ method: 'POST', url: `${base}/user/login`, payload })
      const { access_token: token } = login.json()
      return {
        missing: () => app.inject(`${base}/nowhere`),
        invalid: () => app.inject(withToken('garbage', { url: `${base}/nowhere` })),
        good: () => app.inject(withToken(token, { url: `${base}/nowhere` }))
      }
    }

    const strict = await createNotFoundHost(undefined)
    assertRefused(t, await strict.missing(), { statusCode: 401, code: 'FST_JWT_SESSION_MISSING' })
    t.equal((await strict.invalid()).json().reason, 'invalid_token')
    t.strictSame(ran, [])
    t.match(await strict.good(), { statusCode: 404 })
    t.equal(ran.length, 1)

    const loose = await createNotFoundHost({ optional: true, freshSeconds: FRESH })
    t.strictSame((await loose.missing()).json(), { user: null })
    t.equal((await loose.invalid()).json().reason, 'invalid_token')
    t.equal((await loose.good()).json().user.id, 'ada')
    clock.now += FRESH + 1
    assertNotFresh(t, await loose.good())
    t.equal(ran.length, 3)

    const wrong = await createNotFoundHost({ optional: 'yes' })
    for (const visit of [wrong.missing, wrong.invalid, wrong.good]) {
      t.match((await visit()).json(), { statusCode: 500, code: 'FST_JWT_SESSION_INVALID_OPTION' })
    }
    t.equal(ran.length, 3)
  })
}
