import fastifyRateLimit from '@fastify/rate-limit'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { fastifyJwtSession } from '../../lib/index.js'
import { SECRET, withToken } from '../fixtures/app.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { startUpstream } from '../fixtures/upstream.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const MAX = 5

/** The key is the account and the address: a stranger at another address cannot lock a user out. */
const rateLimit = {
  max: MAX,
  timeWindow: '1 minute',
  // The body has been parsed and checked.
  hook: 'preHandler' as const,
  keyGenerator: ({ ip, body }: FastifyRequest) => JSON.stringify([ip, (body as typeof CREDENTIALS).username])
}

async function startApp(t: Test, baseUrl: string, redis?: Redis): Promise<FastifyInstance> {
  const app = createWatchedFastify(t, { trustProxy: true })
  await app.register(fastifyRateLimit, { global: false, ...(redis && { redis }) })
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { baseUrl },
    routes: { login: { config: { rateLimit } }, session: { config: { rateLimit: { max: 1 } } }, sessions: {} }
  })
  app.post('/host', { config: { rateLimit } }, async () => '')
  return app
}

const login = (username: string, password: string, ip = '192.0.2.1') =>
  postJson('/user/login', { username, password }, { 'x-forwarded-for': ip })

t.test(
  'two instances that share a Redis together let no more parallel guesses reach the upstream than the limit',
  async (t) => {
    const upstream = await startUpstream(t)
    const redis = await startRedis(t)
    const apps = [
      await startApp(t, upstream.baseUrl, redis.client()),
      await startApp(t, upstream.baseUrl, redis.client())
    ]
    const guesses = Array.from({ length: 200 }, (_, index) => login('ada', `guess ${index}`))
    const answers = await Promise.all(guesses.map((guess, index) => apps[index % 2]?.inject(guess)))
    const count = (status: number) => answers.filter((answer) => answer?.statusCode === status).length
    t.strictSame([count(401), count(429)], [MAX, 200 - MAX])
    t.equal(upstream.requests.length, MAX)

    for (const app of apps) {
      t.equal(
        (await app.inject(login('ada', CREDENTIALS.password))).statusCode,
        429,
        'the right password is refused too'
      )
      t.equal(
        (await app.inject(login('ada', CREDENTIALS.password, '192.0.2.2'))).statusCode,
        200,
        'another address is not limited'
      )
      t.equal((await app.inject(login('bob', CREDENTIALS.password))).statusCode, 200, 'another account is not limited')
    }
  }
)

t.test('the 429 of @fastify/rate-limit is the same on the login route as on a route of the host', async (t) => {
  const upstream = await startUpstream(t)
  const app = await startApp(t, upstream.baseUrl)
  const refusalOf = async (url: string) => {
    for (let count = 0; count < MAX; count++) await app.inject(postJson(url, CREDENTIALS))
    const { statusCode, body, headers } = await app.inject(postJson(url, CREDENTIALS))
    const limits = Object.entries(headers).filter(([name]) => /^(?:x-ratelimit|retry|content-type)/.test(name))
    return { statusCode, body, limits }
  }
  const refusal = await refusalOf('/user/login')
  t.equal(refusal.statusCode, 429)
  t.strictSame(refusal, await refusalOf('/host'))
})

t.test('the config of a guarded route is applied beside the settings of the guard', async (t) => {
  const upstream = await startUpstream(t)
  const app = await startApp(t, upstream.baseUrl)
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const readSession = () => app.inject(withToken(token, { url: '/user/session' }))
  const later = t.intercept(Date, 'now', { value: () => session.createdAt + 600_000 })
  t.equal((await readSession()).statusCode, 200)
  t.equal((await readSession()).statusCode, 429)
  later.restore()
  t.equal((await app.sessions.find(session.id))?.lastSeenAt, session.lastSeenAt, 'GET does not extend the session')
})

t.test('config.session of a guarded route is merged over the settings of the route', async (t) => {
  const { baseUrl } = await startUpstream(t)
  const app = createWatchedFastify(t)
  const configs: unknown[] = []
  app.addHook('onRoute', ({ url, method, config }) => void configs.push([method, url, config?.session]))
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    upstream: { baseUrl },
    routes: {
      logout: { config: {} },
      session: { config: { session: { freshSeconds: 60, slide: undefined } } },
      sessions: { config: { session: { slide: false } } }
    }
  })
  t.strictSame(
    configs.filter((entry) => !(entry as unknown[]).includes('HEAD')),
    [
      ['POST', '/user/login', false],
      ['POST', '/user/register', false],
      ['POST', '/user/logout', false],
      ['GET', '/user/session', { slide: false, freshSeconds: 60 }],
      ['POST', '/user/session', { slide: false }],
      ['GET', '/user/sessions', { slide: false }],
      ['DELETE', '/user/sessions', { slide: false }],
      ['DELETE', '/user/sessions/:id', { slide: false }]
    ]
  )
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const later = t.intercept(Date, 'now', { value: () => session.createdAt + 61_000 })
  t.match((await app.inject(withToken(token, { url: '/user/session' }))).json(), { code: 'FST_JWT_SESSION_NOT_FRESH' })
  later.restore()
})
