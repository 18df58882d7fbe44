import type { FastifyInstance, InjectOptions } from 'fastify'
import t, { type Test } from 'tap'
import { createApp, logIn, logout, withToken } from '../../fixtures/app.js'
import { type StartedRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import { PASSWORD } from '../../fixtures/upstream.js'

const STORE_TIMEOUT_MS = 300

interface Fault {
  name: string
  /** Status of a login, of a guarded route and of a logout during the fault. */
  login: number
  verify: number
  logout: number
  /** Whether Redis has lost all sessions after the fault. */
  forgets?: boolean
  start(redis: StartedRedis): unknown
  end(redis: StartedRedis): unknown
}

const FAULTS: Fault[] = [
  {
    name: 'stalled',
    ...{ login: 503, verify: 503, logout: 503 },
    start: (redis) => redis.stall(),
    end: (redis) => redis.resume()
  },
  {
    name: 'killed',
    ...{ login: 503, verify: 503, logout: 503 },
    forgets: true,
    start: (redis) => redis.kill(),
    end: (redis) => redis.restart()
  },
  {
    name: 'read-only',
    ...{ login: 503, verify: 200, logout: 503 },
    start: (redis) => redis.client().replicaof('127.0.0.1', 1),
    end: (redis) => redis.client().replicaof('NO', 'ONE')
  },
  {
    name: 'out of memory',
    ...{ login: 503, verify: 200, logout: 204 },
    start: (redis) => redis.client().config('SET', 'maxmemory', '1'),
    end: (redis) => redis.client().config('SET', 'maxmemory', '0')
  }
]

// Settings that suit requests, and the defaults of ioredis, which queue and retry.
const CLIENTS = {
  'a client that fails fast': {
    commandTimeout: 250,
    enableOfflineQueue: false,
    maxRetriesPerRequest: 0
  },
  'a client with default settings': {}
}

const login = { method: 'POST', url: '/user/login', payload: { username: 'ada', password: PASSWORD } } as const

for (const [clientName, settings] of Object.entries(CLIENTS)) {
  for (const fault of FAULTS) {
    t.test(`the app answers correctly while Redis is ${fault.name}, with ${clientName}`, async (t) => {
      const redis = await startRedis(t)
      const app = await createApp(t, { redis: redis.client(settings), storeTimeoutMs: STORE_TIMEOUT_MS })
      await until(() => app.sessions.isReady())
      const [token, ending] = [await logIn(app), await logIn(app)]

      await fault.start(redis)
      await t.test('requests during the fault are answered correctly and in time', async (t) => {
        await assertAnswer(t, app, login, fault.login)
        await assertAnswer(t, app, withToken(token), fault.verify)
        await assertAnswer(t, app, logout(ending), fault.logout)
        t.equal(await app.sessions.isReady(), fault.verify === 200)
      })
      await fault.end(redis)

      await until(() => app.sessions.isReady())
      await t.test('the app works again after the fault', async (t) => {
        t.equal(
          (await app.inject(withToken(token))).statusCode,
          fault.forgets ? 401 : 200,
          'the session is as the fault has left the session'
        )
        await assertNothingLeft(t, { app, redis }, [token, ending])
        t.equal((await app.inject(withToken(await logIn(app)))).statusCode, 200, 'a new login works')
      })
    })
  }
}

async function assertAnswer(t: Test, app: FastifyInstance, request: InjectOptions, status: number) {
  const startedAt = Date.now()
  const answer = await app.inject(request)
  t.equal(answer.statusCode, status, JSON.stringify(request))
  t.ok(Date.now() - startedAt < STORE_TIMEOUT_MS + 10_000)
  if (status !== 503) return
  t.strictSame(answer.json(), {
    statusCode: 503,
    code: 'FST_JWT_SESSION_STORE_UNAVAILABLE',
    error: 'Service Unavailable',
    message: 'The session store is unavailable'
  })
  t.match(answer.headers, { 'retry-after': '1', 'cache-control': 'no-store' })
  t.notOk(answer.headers['clear-site-data'] ?? answer.headers['session-ended'], 'a 503 has no clear signal')
}

/** Waits until each login that was answered 503 but written late is undone. */
async function assertNothingLeft(
  t: Test,
  { app, redis }: { app: FastifyInstance; redis: StartedRedis },
  tokens: string[]
): Promise<void> {
  const client = redis.client()
  const known = tokens.map((token) => JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()).jti)
  await until(async () => (await app.sessions.list('ada')).every(({ id }) => known.includes(id)))
  for (const key of await client.keys('*')) t.ok((await client.pttl(key)) > 0, 'every key has a TTL')
}

t.test('a login that timed out and is written late opens no session', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { redis: redis.client(), storeTimeoutMs: 50 })
  redis.stall()
  t.equal((await app.inject(login)).statusCode, 503)
  redis.resume()
  const client = redis.client()
  // Redis runs the end after the late login.
  const valuesOf = async () => {
    const values = await Promise.all((await client.keys('fjs:{????????????????}*')).map((key) => client.get(key)))
    // Not counted: the head of a user whose session was written and ended.
    return values.filter((value) => !/^[0-9a-z]{8}$/.test(value ?? ''))
  }
  await until(async () => (await valuesOf()).includes('revoked'))
  t.strictSame(await valuesOf(), ['revoked'])
  t.strictSame(await app.sessions.list('ada'), [])
})

t.test('a session that Redis has lost has ended with the reason "unknown"', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { redis: redis.client() })
  const token = await logIn(app)
  await redis.client().flushall()
  const answer = await app.inject(withToken(token))
  t.equal(answer.statusCode, 401)
  t.match(answer.json(), { code: 'FST_JWT_SESSION_ENDED', reason: 'unknown' })
})
