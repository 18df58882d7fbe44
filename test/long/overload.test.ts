import type { FastifyInstance, InjectOptions } from 'fastify'
import t from 'tap'
import { createApp, withToken } from '../fixtures/app.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { startRawUpstream } from '../fixtures/raw-upstream.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'

const LOGIN = postJson('/user/login', CREDENTIALS)
const LOGINS = 2_000
/** The default of `breaker.upstream.maxInFlight`. */
const MAX_WAITING = 500
const hangs = () => {}

interface Timed {
  status: number
  ms: number
}

async function timed(app: FastifyInstance, request: InjectOptions): Promise<Timed> {
  const startedAt = performance.now()
  const { statusCode: status } = await app.inject(request)
  return { status, ms: performance.now() - startedAt }
}

function median(answers: Timed[]): number {
  const sorted = answers.map(({ ms }) => ms).sort((a, b) => a - b)
  return sorted[sorted.length >> 1] ?? 0
}

async function verifyTimes(app: FastifyInstance, token: string, times: number): Promise<Timed[]> {
  const answers: Timed[] = []
  while (answers.length < times) answers.push(await timed(app, withToken(token)))
  return answers
}

t.test('of 2,000 parallel logins at a hanging upstream 500 wait, and sessions are verified as before', async (t) => {
  const upstream = await startRawUpstream(t)
  const app = await createApp(t, { upstream: { baseUrl: upstream.baseUrl, timeoutMs: 60_000 } })
  const { token } = await app.sessions.create({ id: 'ada' })
  const usual = median(await verifyTimes(app, token, 500))

  upstream.answers.push(...Array.from({ length: LOGINS }, () => hangs))
  const answers: Timed[] = []
  const done = Promise.all(
    Array.from({ length: LOGINS }, async () => {
      answers.push(await timed(app, LOGIN))
    })
  )
  await until(() => answers.length >= LOGINS - MAX_WAITING)
  const refusedAtOnce = answers.filter(({ status }) => status === 503)
  t.equal(refusedAtOnce.length, LOGINS - MAX_WAITING, 'the other logins are refused before a waiting login is answered')
  t.equal(answers.length, LOGINS - MAX_WAITING)

  await until(() => upstream.requests.length === MAX_WAITING)
  const verified = await verifyTimes(app, token, 200)
  t.ok(verified.every(({ status }) => status === 200))
  t.ok(median(verified) < usual + 5, `median ${median(verified).toFixed(2)} ms, before ${usual.toFixed(2)} ms`)

  t.equal(upstream.requests.length, MAX_WAITING, 'no other login was sent')

  await upstream.stop()
  await done
  t.equal(answers.filter(({ status }) => status === 502).length, MAX_WAITING)
  t.equal(upstream.requests.length, MAX_WAITING, 'no login was sent twice')
  const refused = await Promise.all(Array.from({ length: LOGINS }, () => timed(app, LOGIN)))
  t.ok(
    refused.filter(({ status }) => status === 503).length >= LOGINS - 1,
    'then all logins are refused at once, except a probe'
  )
  upstream.answers.length = 0
  await upstream.start()
  await until(async () => (await timed(app, LOGIN)).status === 200)
})

t.test(
  'only commands from before the circuit opened wait for a stalled Redis, however many calls follow',
  async (t) => {
    const redis = await startRedis(t)
    const client = redis.client()
    const duplicated = t.capture(client, 'duplicate', client.duplicate)
    const app = await createApp(t, { redis: client, storeTimeoutMs: 200, session: { maxPerUser: 1_000 } })
    await until(() => app.sessions.isReady())
    const duplicates = duplicated().flatMap((call) => ('returned' in call ? [call.returned] : []))
    const clients = [client, ...duplicates] as unknown as { commandQueue: { length: number } }[]
    const pending = () => clients.reduce((sum, { commandQueue }) => sum + commandQueue.length, 0)
    const openAll = () => Promise.allSettled(Array.from({ length: 100 }, () => app.sessions.create({ id: 'ada' })))

    redis.stall()
    const stalledAt = performance.now()
    const opening = openAll()
    await until(() => pending() >= 100)
    await opening
    for (let round = 0; round < 20; round++) await openAll()
    // Some of the 2,000 further calls were probes. Once per second the store tries to end 50 abandoned sessions.
    const seconds = Math.ceil((performance.now() - stalledAt) / 1_000)
    t.ok(pending() < 120 + 50 * seconds, `${pending()} commands after ${seconds} s`)

    redis.resume()
    const countSessions = async () => (await app.sessions.list('ada').catch(() => [null])).length
    await until(async () => (await app.sessions.isReady()) && (await countSessions()) === 0)
  }
)
