import t from 'tap'
import { Type } from 'typebox'
import { createApp, withToken } from '../fixtures/app.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'

// Redis grows tables in powers of two: the count fills a table to the same degree as 200,000 sessions.
const COUNT = 6_250
// Few parallel calls, because the buffers of a connection count as used memory.
const AT_ONCE = 25
const HALF_AN_HOUR_MS = 1_800_000
const CHROME =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36'

t.test('a session takes less than 400 bytes of Redis in total, before and after activity', async (t) => {
  const redis = (await startRedis(t)).client({ enableAutoPipelining: true })
  const userSchema = Type.Object({ id: Type.String(), name: Type.String(), email: Type.String() })
  const app = await createApp(t, { redis, userSchema, session: { idleTimeoutSeconds: 3_600 }, storeTimeoutMs: 10_000 })
  const { now } = Date
  t.teardown(() => {
    Date.now = now
  })
  let written = 0

  async function open(from: number, count: number): Promise<string[]> {
    const ids = Array.from({ length: count }, (_, index) => from + index)
    return inTurns(ids, async (id) => {
      const user = { id: `${id}`, name: `User ${id}`, email: `user${id}@example.com` }
      return (await app.sessions.create(user, { ip: '203.0.113.77', userAgent: CHROME })).token
    })
  }

  async function use(tokens: string[]): Promise<void> {
    // Not t.intercept(), which stores the stack of each call.
    Date.now = () => now() + HALF_AN_HOUR_MS
    await inTurns(tokens, (token) => app.inject(withToken(token)))
    Date.now = now
  }

  /** The used memory after `count` further writes. A beat is the only operation with GET, and has a SET too. */
  async function usedBytes(count: number): Promise<number> {
    written += count
    await until(async () => (await countCalls('set')) - (await countCalls('get')) >= written)
    t.equal((await countCalls('set')) - (await countCalls('get')), written, 'each session was written once')
    const memory = await redis.info('memory')
    return Number(/^used_memory:(\d+)/m.exec(memory)?.[1])
  }

  async function countCalls(command: string): Promise<number> {
    const stats = await redis.info('commandstats')
    return Number(new RegExp(`^cmdstat_${command}:calls=(\\d+)`, 'm').exec(stats)?.[1] ?? 0)
  }

  // A warm-up: Redis allocates the fixed part of the memory.
  await use(await open(COUNT, AT_ONCE))
  const before = await usedBytes(2 * AT_ONCE)
  const tokens = await open(100_000, COUNT)
  const opened = await usedBytes(COUNT)
  await use(tokens)
  for (const [bytes, name] of [
    [opened, 'after the login'],
    [await usedBytes(COUNT), 'after activity']
  ] as const) {
    const perSession = (bytes - before) / COUNT
    t.comment(`${perSession.toFixed(0)} bytes ${name}`)
    t.ok(perSession < 400, name)
  }
  t.equal(await redis.dbsize(), COUNT + AT_ONCE + 1, 'one key per session, and the beat')
})

async function inTurns<Item, Result>(items: Item[], work: (item: Item) => Promise<Result>): Promise<Result[]> {
  const results: Result[] = []
  for (let from = 0; from < items.length; from += AT_ONCE) {
    results.push(...(await Promise.all(items.slice(from, from + AT_ONCE).map(work))))
  }
  return results
}
