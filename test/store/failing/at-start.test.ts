import { EventEmitter } from 'node:events'
import { setTimeout as delay } from 'node:timers/promises'
import underPressure from '@fastify/under-pressure'
import { Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import { createMemoryStore, fastifyJwtSession, type JwtSessionOptions } from '../../../lib/index.js'
import type { RedisOptions } from '../../../lib/store/redis/open-client.js'
import { longestWaitMs, waitUntilReady } from '../../../lib/store/wait-until-ready.js'
import { createApp, SECRET, withToken } from '../../fixtures/app.js'
import { closedAtTeardown, startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import { captureWarnings } from '../../fixtures/warnings.js'
import { createWatchedFastify } from '../../fixtures/watched-fastify.js'

const upstream = { baseUrl: 'http://127.0.0.1:1' }

function start(t: Test, options: Partial<JwtSessionOptions>, pluginTimeout = 2_000): PromiseLike<unknown> {
  const app = createWatchedFastify(t, { pluginTimeout })
  return app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, ...options })
}

function assertRefused(t: Test, starting: PromiseLike<unknown>, message: string, code: string) {
  const error = { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', message, cause: { code } }
  return t.rejects(Promise.resolve(starting), error)
}

t.test(
  'a start that needs the store fails with a sentence that says where the store is and what is wrong',
  async (t) => {
    const url = 'redis://ada:hunter2@127.0.0.1:1'
    const message = 'The session store at 127.0.0.1:1 is unavailable: ECONNREFUSED'
    await assertRefused(t, start(t, { redis: { url } }), message, 'ECONNREFUSED')
    const redis = await startRedis(t)
    await redis.kill()
    const where = `The session store at ${redis.socketPath} is unavailable: ECONNREFUSED`
    // The default pauses between attempts become longer than a start.
    const client = redis.client({ retryStrategy: () => 20 })
    const listenersAfterStart = async () => {
      await assertRefused(t, start(t, { redis: client, requireStoreAtStart: true }), where, 'ECONNREFUSED')
      // While the client connects, ioredis has listeners of its own.
      await until(() => client.status === 'reconnecting')
      return client.eventNames().map((name) => [name, client.listenerCount(name)])
    }
    t.strictSame(await listenersAfterStart(), await listenersAfterStart(), 'a start leaves no listeners on the client')
    const sentinels = [{ host: '127.0.0.1', port: 1 }]
    const behindSentinel = { sentinels, name: 'main', sentinelRetryStrategy: () => 10 }
    await t.rejects(async () => await start(t, { redis: behindSentinel }), {
      message: /at 127\.0\.0\.1:1 is unavailable/
    })
  }
)

t.test('the error of a failed start names no address for a Cluster or a store of the application', async (t) => {
  const cluster = closedAtTeardown(t, new Cluster(['redis://127.0.0.1:1'], { clusterRetryStrategy: () => 10 }))
  await t.rejects(async () => await start(t, { redis: cluster, requireStoreAtStart: true }), {
    message: /^The session store is unavailable: /
  })
  const find = () => Promise.reject(Object.assign(new Error('no'), { code: 'ENOENT' }))
  const store = { ...createMemoryStore(), find }
  const message = 'The session store is unavailable: ENOENT'
  await assertRefused(t, start(t, { store, requireStoreAtStart: true }), message, 'ENOENT')
  await start(t, { store })
  await start(t, { store: createMemoryStore(), requireStoreAtStart: true }, 0)
})

t.test('a start that needs the store fails in time when the store does not respond', async (t) => {
  const redis = await startRedis(t)
  redis.stall()
  const startedAt = performance.now()
  await t.rejects(async () => await start(t, { redis: { url: redis.socketPath } }), { message: /is unavailable: / })
  t.ok(performance.now() - startedAt < 10_000)
})

t.test('a start that needs the store waits until the store is reachable', async (t) => {
  const redis = await startRedis(t)
  await redis.kill()
  const client = redis.client({ retryStrategy: () => 20 })
  const starting = createApp(t, { upstream, redis: client, requireStoreAtStart: true })
  await redis.restart()
  const app = await starting
  t.ok(await app.sessions.isReady())
})

t.test('an app that may start without the store answers 503, and works once Redis is up', async (t) => {
  const redis = await startRedis(t)
  await redis.kill()
  const options = { url: redis.socketPath, retryStrategy: () => 20 }
  const app = await createApp(t, { upstream, redis: options, requireStoreAtStart: false, storeTimeoutMs: 100 })
  t.notOk(await app.sessions.isReady())
  const { token: valid } = await (await createApp(t)).sessions.create({ id: 'ada' })
  t.match((await app.inject(withToken(valid))).json(), { statusCode: 503, code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  t.equal((await app.inject({ method: 'POST', url: '/user/logout' })).statusCode, 204)
  await redis.restart()
  await until(() => app.sessions.isReady())
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject(withToken(token))).statusCode, 200)
})

t.test('@fastify/under-pressure reports the readiness of the store', async (t) => {
  const redis = await startRedis(t)
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, redis: { url: redis.socketPath } })
  const healthCheck = () => app.sessions.isReady()
  await app.register(underPressure, { healthCheck, healthCheckInterval: 50, exposeStatusRoute: '/ready' })
  const status = async () => (await app.inject('/ready')).statusCode
  await until(async () => (await status()) === 200)
  await redis.kill()
  await until(async () => (await status()) === 503)
  await redis.restart()
  await until(async () => (await status()) === 200)
})

t.test('settings that let requests queue up cause one warning per client', async (t) => {
  const redis = await startRedis(t)
  const warnings = captureWarnings(t, 'FST_JWT_SESSION_REDIS_SETTINGS')
  const client = redis.client({ maxRetriesPerRequest: null })
  await createApp(t, { upstream, redis: client })
  await createApp(t, { upstream, redis: client })
  t.equal(warnings().length, 1)
  t.match(
    warnings()[0]?.[0],
    /`enableOfflineQueue` is not false.*`maxRetriesPerRequest` is over 3.*`commandTimeout` is not set/
  )

  const cluster = closedAtTeardown(t, new Cluster(['redis://127.0.0.1:1'], { enableOfflineQueue: false }))
  await createApp(t, { upstream, redis: cluster })
  t.match(warnings()[1]?.[0], /`slotsRefreshInterval` is not set/)

  const reconnectOnError = () => false
  const good = { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: 500, reconnectOnError }
  await createApp(t, { upstream, redis: redis.client(good) })
  await createApp(t, { upstream, redis: { url: redis.socketPath } })
  const goodNodes = { redisOptions: { maxRetriesPerRequest: 1, commandTimeout: 500 }, slotsRefreshInterval: 1_000 }
  const goodCluster = new Cluster(['redis://127.0.0.1:1'], { enableOfflineQueue: false, ...goodNodes })
  await createApp(t, { upstream, redis: closedAtTeardown(t, goodCluster) })
  t.equal(warnings().length, 2)
})

t.test('a Redis that evicts keys causes a warning if the app may read the policy', async (t) => {
  const redis = await startRedis(t)
  const warnings = captureWarnings(t, 'FST_JWT_SESSION_REDIS_EVICTION')
  const operator = redis.client()
  const started = async () => {
    const app = await createApp(t, { upstream, redis: { url: redis.socketPath } })
    // A reply here comes after the replies to the commands of the start.
    await app.sessions.isReady()
  }
  await started()
  t.strictSame(warnings(), [])
  await operator.config('SET', 'maxmemory-policy', 'volatile-lru')
  await started()
  await until(() => warnings().length === 1)
  t.match(warnings()[0]?.[0], /`maxmemory-policy` is volatile-lru/)
  await createApp(t, { upstream, redis: redis.client() })
  await until(() => warnings().length === 2)
  await operator.call('ACL', 'SETUSER', 'default', '-info')
  await createApp(t, { upstream, redis: { url: redis.socketPath, enableReadyCheck: false } })
  t.equal(warnings().length, 2)
})

t.test('a store that rejects with undefined or null is not ready', async (t) => {
  for (const nothing of [undefined, null]) {
    const attempt = () => Promise.reject(nothing)
    await t.rejects(waitUntilReady({ attempt, patienceMs: 10, isRequired: true, client: {} }), {
      code: 'FST_JWT_SESSION_STORE_UNAVAILABLE'
    })
  }
})

t.test('the cause of a failed start is the most useful error:', async (t) => {
  const failure = (code: string) => Object.assign(new Error(code), { code })
  /** Waits for a store that rejects with each error in turn, and then does not respond. */
  const wait = (errors: Error[], options: { connectionError?: Error; refusal?: () => Error } = {}) => {
    const { connectionError, ...others } = options
    const client = new EventEmitter()
    const attempt = () => {
      if (connectionError) client.emit('error', connectionError)
      return errors.length > 0 ? Promise.reject(errors.shift()) : new Promise<void>(() => {})
    }
    return waitUntilReady({ attempt, patienceMs: 1_000, isRequired: true, client, ...others })
  }
  const connectionError = failure('CONNECTION')

  await t.test('the last error before a timeout', async (t) => {
    await t.rejects(wait([failure('FIRST'), failure('SECOND')]), { cause: { code: 'SECOND' } })
  })

  await t.test('the timeout of a store that never responds', async (t) => {
    await t.rejects(wait([]), { cause: { code: 'ETIMEDOUT' } })
  })

  await t.test('an error of the connection, and not an error of the store', async (t) => {
    await t.rejects(wait([failure('STORE')], { connectionError }), { cause: { code: 'CONNECTION' } })
  })

  await t.test('an error that waiting cannot fix, and not an error of the connection', async (t) => {
    const refusal = () => failure('REFUSED')
    await t.rejects(wait([failure('STORE')], { connectionError, refusal }), { cause: { code: 'REFUSED' } })
  })
})

t.test('a slow store may use the whole start timeout for a reply', async (t) => {
  let attempts = 0
  const attempt = async () => {
    attempts++
    await delay(200)
  }
  await waitUntilReady({ attempt, patienceMs: 60_000, isRequired: true, client: {} })
  t.equal(attempts, 1)
})

t.test('a start waits 5 s for the store, or less with a short plugin timeout', async (t) => {
  const waits = [0, 10_000, 2_000].map((pluginTimeout) => longestWaitMs(createWatchedFastify(t, { pluginTimeout })))
  t.strictSame(waits, [5_000, 5_000, 1_000])
})

t.test('a start that Redis refuses fails before the start timeout', async (t) => {
  const redis = await startRedis(t, { args: ['--requirepass', 'a password'] })
  const order: string[] = []
  const failed = async (name: string, options: RedisOptions) => {
    await t.rejects(Promise.resolve(start(t, { redis: options }, 0)), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
    order.push(name)
  }
  await Promise.all([
    failed('not reached', { url: 'redis://127.0.0.1:1' }),
    failed('refused', { path: redis.socketPath, password: 'another' })
  ])
  t.strictSame(order, ['refused', 'not reached'])
})
