import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import type { JwtSessionOptions } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { readCounter } from '../fixtures/count-reads.js'
import { startProxy } from '../fixtures/redis/start-proxy.js'
import { closedAtTeardown, startRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

/** An app that reaches Redis through a proxy, and an app with a direct connection and without a cache. */
async function createPair(t: Test, options: Partial<JwtSessionOptions> = {}) {
  const redis = await startRedis(t)
  const operator = redis.client()
  const proxy = await startProxy(t, redis)
  const client = closedAtTeardown(t, new Redis({ path: proxy.socketPath, disconnectTimeout: 50 }))
  await until(() => proxy.connections.length === 1)
  const cached = await createApp(t, { upstream, redis: client, cache: true, ...options })
  const other = await createApp(t, { upstream, redis: redis.client(), cache: false })
  const [data] = proxy.connections
  const findTracking = () => proxy.connections.find(({ isSubscribed }) => isSubscribed)
  await until(() => findTracking() !== undefined)
  const tracking = findTracking()
  if (data === undefined || tracking === undefined) throw new Error('A connection is missing')
  return { redis, proxy, operator, cached, other, data, tracking, countReads: readCounter(operator) }
}

async function statusOf(app: FastifyInstance, token: string): Promise<number> {
  return (await app.inject(withToken(token))).statusCode
}

async function untilCached(app: FastifyInstance, token: string, countReads: () => Promise<number>): Promise<void> {
  await until(async () => {
    await countReads()
    await statusOf(app, token)
    return (await countReads()) === 0
  })
}

t.test('a read that overlaps with a change of the session is not cached', async (t) => {
  const { cached, other, data, operator, countReads } = await createPair(t)
  const { token, session } = await other.sessions.create({ id: 'ada' })
  const { token: witness } = await other.sessions.create({ id: 'bob' })
  await statusOf(cached, witness)
  await countReads()

  data.hold()
  const reading = statusOf(cached, token)
  await until(async () => (await countReads()) === 1)
  await other.sessions.revoke(session.id)
  // A later change has arrived, and so the notification of the first change has arrived.
  await operator.flushdb()
  const { token: late } = await other.sessions.create({ id: 'bob' })
  await delay(50)
  data.release()
  t.equal(await reading, 200, 'the session was live at the read')
  t.equal(await statusOf(cached, token), 401)
  t.equal(await statusOf(cached, late), 200)
})

t.test('a read that overtakes the notification of a change is dropped with the notification', async (t) => {
  const { cached, other, tracking, countReads } = await createPair(t)
  const { token, session } = await other.sessions.create({ id: 'ada' })
  tracking.hold()
  await countReads()
  t.equal(await statusOf(cached, token), 200)
  t.equal(await countReads(), 1)
  await other.sessions.revoke(session.id)
  t.equal(await statusOf(cached, token), 200, 'the notification is delayed')
  tracking.release()
  await until(async () => (await statusOf(cached, token)) === 401)
})

t.test(
  'when the connection for notifications drops, every request reads Redis until the next connection is tracked',
  async (t) => {
    const { cached, other, operator, countReads } = await createPair(t)
    const { token, session } = await other.sessions.create({ id: 'ada' })
    await untilCached(cached, token, countReads)
    await operator.call('CLIENT', 'KILL', 'TYPE', 'pubsub')
    await other.sessions.update(session.id, { a: 1 })
    await until(async () => (await cached.inject(withToken(token))).json().data.a === 1)
    await countReads()
    for (let i = 0; i < 5; i++) t.equal(await statusOf(cached, token), 200)
    t.equal(await countReads(), 5)
    await untilCached(cached, token, countReads)
    await other.sessions.revoke(session.id)
    await until(async () => (await statusOf(cached, token)) === 401)
  }
)

t.test('a connection that loses all data is noticed within maxStaleMs', async (t) => {
  for (const maxStaleMs of [200, 1_000]) {
    const { cached, other, tracking, countReads } = await createPair(
      t,
      maxStaleMs === 1_000 ? {} : { cache: { maxStaleMs } }
    )
    const { token, session } = await other.sessions.create({ id: 'ada' })
    await untilCached(cached, token, countReads)
    tracking.swallow()
    await other.sessions.revoke(session.id)
    const endedAt = performance.now()
    let lastAcceptedAt = endedAt
    while (performance.now() - endedAt < maxStaleMs + 300) {
      if ((await statusOf(cached, token)) === 200) lastAcceptedAt = performance.now()
      await delay(5)
    }
    t.ok(lastAcceptedAt > endedAt, 'the cache has missed the revocation')
    t.ok(lastAcceptedAt - endedAt < maxStaleMs, `accepted for ${lastAcceptedAt - endedAt} ms`)
    const { token: next } = await other.sessions.create({ id: 'ada' })
    await untilCached(cached, next, countReads)
  }
})

t.test('while Redis is stalled or down a stale cache answers 503, and never 401', async (t) => {
  const { redis, cached, other, countReads } = await createPair(t, {
    cache: { maxStaleMs: 200 },
    storeTimeoutMs: 1_000
  })
  const { token } = await other.sessions.create({ id: 'ada' })
  await untilCached(cached, token, countReads)
  redis.stall()
  const stalledAt = performance.now()
  const seen = new Set<number>()
  while (performance.now() - stalledAt < 500) {
    seen.add(await statusOf(cached, token))
    await delay(5)
  }
  t.strictSame([...seen], [200, 503])
  redis.resume()
  await untilCached(cached, token, countReads)
  await redis.kill()
  await until(async () => (await statusOf(cached, token)) === 503)
})

t.test('a restarted Redis is tracked again', async (t) => {
  const { redis, cached, countReads } = await createPair(t)
  await redis.restart()
  await until(async () => cached.sessions.isReady())
  const { token, session } = await cached.sessions.create({ id: 'ada' })
  await untilCached(cached, token, countReads)
  await redis.client().flushall()
  await until(async () => (await statusOf(cached, token)) === 401)
  t.equal(await cached.sessions.find(session.id), null)
})
