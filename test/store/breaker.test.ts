import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { createMemoryStore } from '../../lib/index.js'
import { createApp, logIn, withToken } from '../fixtures/app.js'
import { createLog } from '../fixtures/log.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'

const STORE_TIMEOUT_MS = 200

/** Verifies so often at once, and counts what was answered: the status, or of a 503 what the log says of its cause. */
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
  'a store that does not respond is asked by one probe at a time, and other requests are answered at once',
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
    t.strictSame(await verify(app, lines, token, 20), { ETIMEDOUT: 1, CIRCUIT_OPEN: 19 }, 'one was the probe')
    t.strictSame(await verify(app, lines, token, 20), { CIRCUIT_OPEN: 20 })

    redis.resume()
    await until(() => app.sessions.isReady())
    await until(async () => (await app.inject(withToken(token))).statusCode === 200)
    t.strictSame(await verify(app, lines, token, 50), { 200: 50 })
    t.equal(logged('The session store does not respond'), 1)
    t.equal(logged('The session store responds again'), 1)
  }
)

t.test('readiness is asked for past the circuit', async (t) => {
  const memory = createMemoryStore()
  const list = () => Promise.reject(new Error('no'))
  const breaker = { store: { failures: 1, probeAfterMs: 60_000 } }
  const app = await createApp(t, { store: { ...memory, list }, breaker })
  const token = await logIn(app)
  await t.rejects(app.sessions.list('ada'), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  t.equal((await app.inject(withToken(token))).statusCode, 503)
  t.ok(await app.sessions.isReady())
})

t.test('beyond maxInFlight requests are answered 503 at once, until the others are answered', async (t) => {
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

t.test('while some calls have a response the circuit stays closed: one key of many is out of reach', async (t) => {
  const memory = createMemoryStore()
  const lost = new Set<string>()
  const find = (id: string) => (lost.has(id) ? new Promise<never>(() => {}) : memory.find(id))
  const { lines, logger } = createLog()
  const app = await createApp(t, { store: { ...memory, find }, storeTimeoutMs: STORE_TIMEOUT_MS }, { logger })
  const [token, unlucky] = [await logIn(app), await app.sessions.create({ id: 'bob' })]
  lost.add(unlucky.session.id)
  const asking = verify(app, lines, unlucky.token, 20)
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.strictSame(await asking, { ETIMEDOUT: 20 })
  t.strictSame(await verify(app, lines, token), { 200: 1 })
})

t.test('a Redis that refuses has responded: it may still let others read', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { redis: redis.client() })
  await until(() => app.sessions.isReady())
  const token = await logIn(app)
  await redis.client().config('SET', 'maxmemory', '1')
  for (let i = 0; i < 20; i++) await t.rejects(app.sessions.create({ id: 'ada' }), { cause: { code: 'OOM' } })
  t.equal((await app.inject(withToken(token))).statusCode, 200)
})

t.test('whatever a store of the application’s own rejects with, it is called again', async (t) => {
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

t.test('a process that was busy does not blame the store for what it has not read yet', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { redis: redis.client(), storeTimeoutMs: 300 })
  await until(() => app.sessions.isReady())
  const token = await logIn(app)
  const asking = Promise.all(Array.from({ length: 20 }, () => app.inject(withToken(token))))
  // Until the questions are on their way.
  for (let turns = 0; turns < 3; turns++) await new Promise(setImmediate)
  const busyUntil = performance.now() + 900
  while (performance.now() < busyUntil);
  t.ok((await asking).every(({ statusCode }) => statusCode === 200))
})
