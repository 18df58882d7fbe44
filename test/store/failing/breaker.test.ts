import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createMemoryStore } from '../../../lib/index.js'
import { createApp, logIn, withToken } from '../../fixtures/app.js'
import { createLog } from '../../fixtures/log.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'

const STORE_TIMEOUT_MS = 500

/** Sends `times` requests at once and counts the results: 200, or the logged cause of a 503. */
async function verify(
  app: FastifyInstance,
  lines: string[],
  token: string,
  times = 1
): Promise<Record<string, number>> {
  const before = lines.length
  const answers = await Promise.all(Array.from({ length: times }, () => app.inject(withToken(token))))
  const causes = lines.slice(before).flatMap((line) => /"cause":"(\w+)"/.exec(line)?.[1] ?? [])
  const good = answers.filter(({ statusCode }) => statusCode === 200).map(() => '200')
  const counts: Record<string, number> = {}
  for (const seen of [...causes, ...good]) counts[seen] = (counts[seen] ?? 0) + 1
  return counts
}

t.test(
  'a store that does not respond gets one probe at a time, and all other requests are rejected at once',
  async (t) => {
    const redis = await startRedis(t)
    const { lines, logger } = createLog()
    const breaker = { store: { probeAfterMs: 1_000 } }
    const app = await createApp(t, { redis: redis.client(), storeTimeoutMs: STORE_TIMEOUT_MS, breaker }, { logger })
    await until(() => app.sessions.isReady())
    const token = await logIn(app)
    const logged = (text: string) => lines.filter((line) => line.includes(text)).length

    redis.stall()
    t.strictSame(await verify(app, lines, token, 4), { ETIMEDOUT: 4 })
    t.strictSame(await verify(app, lines, token), { ETIMEDOUT: 1 })
    t.strictSame(await verify(app, lines, token, 50), { CIRCUIT_OPEN: 50 })
    t.notOk(await app.sessions.isReady())
    await delay(1_000)
    t.strictSame(await verify(app, lines, token, 20), { ETIMEDOUT: 1, CIRCUIT_OPEN: 19 }, 'one request was the probe')
    t.strictSame(await verify(app, lines, token, 20), { CIRCUIT_OPEN: 20 })

    redis.resume()
    await until(() => app.sessions.isReady())
    await until(async () => (await app.inject(withToken(token))).statusCode === 200)
    await until(async () => (await verify(app, lines, token, 50))[200] === 50)
    t.equal(logged('The session store does not respond'), 1)
    t.equal(logged('The session store responds again'), 1)
  }
)

t.test('isReady() calls the store while the circuit is open', async (t) => {
  const memory = createMemoryStore()
  const list = () => Promise.reject(new Error('no'))
  const breaker = { store: { failures: 1, probeAfterMs: 60_000 } }
  const app = await createApp(t, { store: { ...memory, list }, breaker })
  const token = await logIn(app)
  await t.rejects(app.sessions.list('ada'), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  t.equal((await app.inject(withToken(token))).statusCode, 503)
  t.ok(await app.sessions.isReady())
})

t.test('requests beyond maxInFlight are answered 503 at once, until earlier requests are answered', async (t) => {
  const redis = await startRedis(t)
  const { lines, logger } = createLog()
  const options = { redis: redis.client(), storeTimeoutMs: STORE_TIMEOUT_MS, breaker: { store: { maxInFlight: 3 } } }
  const app = await createApp(t, options, { logger })
  await until(() => app.sessions.isReady())
  const token = await logIn(app)
  redis.stall()
  t.strictSame(await verify(app, lines, token, 10), { ETIMEDOUT: 3, TOO_MANY_IN_FLIGHT: 7 })
  redis.resume()
  await until(() => app.sessions.isReady())
  t.strictSame(await verify(app, lines, token, 3), { 200: 3 })
})

t.test('the circuit stays closed while calls for one key time out and other calls succeed', async (t) => {
  const memory = createMemoryStore()
  const lost = new Set<string>()
  const find = (id: string) => (lost.has(id) ? new Promise<never>(() => {}) : memory.find(id))
  const { lines, logger } = createLog()
  const app = await createApp(t, { store: { ...memory, find }, storeTimeoutMs: STORE_TIMEOUT_MS }, { logger })
  const [token, unlucky] = [await logIn(app), await app.sessions.create({ id: 'bob' })]
  lost.add(unlucky.session.id)
  const pending = verify(app, lines, unlucky.token, 20)
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.strictSame(await pending, { ETIMEDOUT: 20 })
  t.strictSame(await verify(app, lines, token), { 200: 1 })
})

t.test('a Redis that refuses writes has responded, so that reads are still sent', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { redis: redis.client() })
  await until(() => app.sessions.isReady())
  const token = await logIn(app)
  await redis.client().config('SET', 'maxmemory', '1')
  for (let i = 0; i < 20; i++) await t.rejects(app.sessions.create({ id: 'ada' }), { cause: { code: 'OOM' } })
  t.equal((await app.inject(withToken(token))).statusCode, 200)
})

t.test('a store of the application is called again after rejecting with undefined', async (t) => {
  const memory = createMemoryStore()
  let isDown = true
  const find = (id: string) => (isDown ? Promise.reject() : memory.find(id))
  const breaker = { store: { failures: 1_000, maxInFlight: 3 } }
  const app = await createApp(t, { store: { ...memory, find }, breaker })
  const token = await logIn(app)
  for (let i = 0; i < 10; i++) t.equal((await app.inject(withToken(token))).statusCode, 503)
  isDown = false
  t.equal((await app.inject(withToken(token))).statusCode, 200)
})

t.test('a busy process does not count unread replies as timeouts of the store', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { redis: redis.client(), storeTimeoutMs: 300 })
  await until(() => app.sessions.isReady())
  const token = await logIn(app)
  const pending = Promise.all(Array.from({ length: 20 }, () => app.inject(withToken(token))))
  // The commands must be on their way before the process blocks.
  for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
  const busyUntil = performance.now() + 900
  while (performance.now() < busyUntil);
  t.ok((await pending).every(({ statusCode }) => statusCode === 200))
})
