import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import fastifyRedis from '@fastify/redis'
import { Cluster } from 'ioredis'
import t from 'tap'
import { fastifyJwtSession } from '../../../lib/index.js'
import { createApp, logIn, SECRET, withToken } from '../../fixtures/app.js'
import { closedAtTeardown, connectRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import { createWatchedFastify } from '../../fixtures/watched-fastify.js'

const required = { jwt: { secret: SECRET }, upstream: { baseUrl: 'http://127.0.0.1:1' } }

t.test('an injected client is used unchanged, with the keyPrefix of the client, and never closed', async (t) => {
  const redis = await connectRedis(t)
  const app = await createApp(t, { redis })
  const token = await logIn(app)
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.strictSame(kindsOf(await redis.keys(`${redis.options.keyPrefix}*`)), ['beat', 'head'])
  await app.close()
  t.equal(await redis.ping(), 'PONG')
})

t.test('options open a client that is hidden from the host and is closed with the app', async (t) => {
  const server = await startRedis(t)
  const clients = server.client()
  const before = count(await clients.client('LIST'))
  const options = Object.freeze({ url: server.socketPath, keyPrefix: 'mine:' })
  const app = await createApp(t, { redis: options })
  t.notOk(app.hasDecorator('redis'))
  t.equal((await app.inject(withToken(await logIn(app)))).statusCode, 200)
  t.strictSame(kindsOf(await clients.keys('mine:*')), ['beat', 'head'])
  t.strictSame(await clients.keys('fjs:*'), [])
  await app.close()
  await until(async () => count(await clients.client('LIST')) === before)
})

t.test('the host may register @fastify/redis before or after the plugin', async (t) => {
  const server = await startRedis(t)
  const app = createWatchedFastify(t)
  await app.register(fastifyRedis, { url: server.socketPath })
  const hostClient = app.redis
  await app.register(fastifyJwtSession, { ...required, redis: { url: server.socketPath } })
  t.equal(app.redis, hostClient)
  t.notOk('session' in app.redis, 'the plugin adds no client to @fastify/redis')

  const second = createWatchedFastify(t)
  await second.register(fastifyJwtSession, { ...required, redis: { url: server.socketPath } })
  await second.register(fastifyRedis, { url: server.socketPath })
  await second.ready()
  t.equal(await second.redis.ping(), 'PONG')
})

t.test('a wrong password fails the start, and the error does not contain the password', async (t) => {
  const server = await startRedis(t, { args: ['--requirepass', 'the right password'] })
  const app = createWatchedFastify(t)
  const redis = { url: server.socketPath, password: 'hunter2 hunter2' }
  const error = await app.register(fastifyJwtSession, { ...required, redis }).then(
    () => t.fail('started'),
    (error) => error
  )
  t.match(error, { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', cause: { code: 'WRONGPASS' } })
  t.notMatch(JSON.stringify([error, error.cause, error.stack, Object.keys(error)]), /hunter2/)
})

t.test('a database that Redis refuses fails the start, with a URL and with the option `db`', async (t) => {
  const server = await startRedis(t, { args: ['--databases', '2'], tcp: true })
  const operator = server.client()
  const places = [{ url: `${server.url}/3` }, { url: `${server.socketPath}?db=3` }, { path: server.socketPath, db: 3 }]
  for (const redis of places) {
    const app = createWatchedFastify(t)
    await t.rejects(async () => await app.register(fastifyJwtSession, { ...required, redis }), {
      code: 'FST_JWT_SESSION_STORE_UNAVAILABLE',
      cause: { code: 'ERR' }
    })
  }
  await operator.call('ACL', 'SETUSER', 'default', '-select')
  const app = createWatchedFastify(t)
  await t.rejects(
    async () => await app.register(fastifyJwtSession, { ...required, redis: { url: `${server.url}/1` } }),
    {
      code: 'FST_JWT_SESSION_STORE_UNAVAILABLE',
      cause: { code: 'NOPERM' }
    }
  )
  t.equal(await operator.dbsize(), 0, 'nothing was written to database 0')
})

t.test('a Redis that cannot be reached fails the start within the plugin timeout, with the cause', async (t) => {
  const app = createWatchedFastify(t, { pluginTimeout: 300 })
  const redis = { url: 'redis://user:hunter2@127.0.0.1:1' }
  await t.rejects(async () => await app.register(fastifyJwtSession, { ...required, redis }), {
    code: 'FST_JWT_SESSION_STORE_UNAVAILABLE',
    cause: { code: 'ECONNREFUSED' }
  })
})

t.test('a client of the plugin reconnects four times a second after any outage', async (t) => {
  const seen: { retryStrategy?: (attempts: number) => number }[] = []
  class Connector {
    constructor(options: object) {
      seen.push(options)
    }
    async connect(): Promise<never> {
      throw new Error('No connection')
    }
    disconnect(): void {}
  }
  await createApp(t, {
    redis: { host: '127.0.0.1', Connector: Connector as never },
    requireStoreAtStart: false,
    storeTimeoutMs: 50
  })
  const pauses = [1, 2, 3, 6, 7, 10_000].map((attempt) => seen[0]?.retryStrategy?.(attempt))
  t.strictSame(pauses, [0, 50, 100, 250, 250, 250], 'no pause before the first attempt, then longer pauses')
})

t.test('a client that would lose sessions or end the process is refused', async (t) => {
  const methods = { mget: async () => [], eval: async () => 1, evalsha: async () => 1 }
  const ioredis = { ...methods, defineCommand() {} }
  const clusterWith = (options: { keyPrefix?: string; redisOptions?: { keyPrefix: string } }) =>
    closedAtTeardown(
      t,
      new Cluster(['redis://127.0.0.1:1'], { lazyConnect: true, enableOfflineQueue: false, ...options })
    )
  const refused: [redis: object, option: string][] = [
    [methods, 'redis'],
    [{ ...ioredis, options: { scaleReads: 'slave' } }, 'redis'],
    [{ ...ioredis, options: { scaleReads: 'all' } }, 'redis'],
    [{ ...ioredis, options: { role: 'slave' } }, 'redis'],
    [clusterWith({ keyPrefix: '{app}:' }), 'redis'],
    [clusterWith({ redisOptions: { keyPrefix: 'a}' } }), 'redis'],
    [{ sentinels: [{ host: '127.0.0.1' }], name: 'sessions', role: 'slave' }, 'redis'],
    ...['x', -1, 1.5, Number.NaN].map((db): [object, string] => [{ host: '127.0.0.1', db }, 'redis.db']),
    ...['sessions', '0/1', '1x'].map((path): [object, string] => [{ url: `redis://127.0.0.1/${path}` }, 'redis.url'])
  ]
  for (const [redis, option] of refused) {
    const app = createWatchedFastify(t)
    await t.rejects(async () => await app.register(fastifyJwtSession, { ...required, redis: redis as never }), {
      code: 'FST_JWT_SESSION_INVALID_OPTION',
      option
    })
  }
  const good = [
    ioredis,
    { ...ioredis, options: {} },
    { ...ioredis, options: { scaleReads: 'master' } },
    { ...ioredis, options: { keyPrefix: '{app}:' } },
    clusterWith({ keyPrefix: 'app:' })
  ]
  for (const redis of good) t.ok(await createApp(t, { redis: redis as never }))
})

t.test('options that ioredis refuses fail the start', async (t) => {
  const app = createWatchedFastify(t)
  await t.rejects(async () => await app.register(fastifyJwtSession, { ...required, redis: { sentinels: [] } }), {
    code: 'FST_JWT_SESSION_STORE_UNAVAILABLE'
  })
})

t.test('a client of the plugin answers 503 in time, reconnects, and closes in time', async (t) => {
  const server = await startRedis(t)
  const app = await createApp(t, { redis: { url: server.socketPath }, storeTimeoutMs: 1_000 })
  const token = await logIn(app)

  await t.test('requests are answered 503 while the server is stalled, and 200 afterwards', async (t) => {
    server.stall()
    t.equal((await app.inject(withToken(token))).statusCode, 503)
    server.resume()
    await until(() => app.sessions.isReady())
    t.equal((await app.inject(withToken(token))).statusCode, 200)
  })

  await t.test('commands fail at once while the server is down, until the client has reconnected', async (t) => {
    server.stall()
    const cutOff = t.rejects(app.sessions.find('x'.repeat(38)), { cause: { code: 'CONNECTION_CLOSED' } })
    await server.kill()
    await cutOff
    await t.rejects(app.sessions.find('x'.repeat(38)), { cause: { code: 'NOT_CONNECTED' } })
    t.equal((await app.inject(withToken(token))).statusCode, 503)
    await server.restart()
    await until(() => app.sessions.isReady())
  })

  server.stall()
  const startedAt = Date.now()
  await app.close()
  t.ok(Date.now() - startedAt < 10_000)
})

t.test('a client of the plugin reconnects without long pauses while Redis is down', async (t) => {
  const attempts: number[] = []
  const server = createServer((socket) => {
    attempts.push(performance.now())
    socket.destroy()
  })
  t.teardown(() => server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  const { port } = server.address() as AddressInfo
  await createApp(t, { redis: { url: `redis://127.0.0.1:${port}` }, requireStoreAtStart: false })
  await until(() => attempts.length >= 8)
  const pauses = attempts.slice(1).map((at, i) => at - (attempts[i] ?? 0))
  t.ok(Math.max(...pauses) < 1_000, `${pauses.map(Math.round)} ms`)
})

/** The kinds of the keys, such as `head`, without a `keyPrefix`. */
function kindsOf(keys: string[]): string[] {
  return keys.map((key) => (/fjs:\{[^}]+\}(.*)$/.exec(key)?.[1] ?? key) || 'head').toSorted()
}

function count(clientList: unknown): number {
  return String(clientList).trim().split('\n').length
}
