import t from 'tap'
import { Type } from 'typebox'
import { createApp } from './fixtures/app.js'
import { startRedis } from './fixtures/redis/start-redis.js'

// Redis grows its tables in powers of two: this fills one as 200,000 sessions would.
const COUNT = 6_250
const CHROME =
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36'

t.test('a session takes less than 400 bytes of Redis, all included', async (t) => {
  const redis = (await startRedis(t)).client({ enableAutoPipelining: true })
  const userSchema = Type.Object({ id: Type.String(), name: Type.String(), email: Type.String() })
  const app = await createApp(t, { redis, userSchema, storeTimeoutMs: 10_000 })
  const usedBytes = async () => Number(/used_memory:(\d+)/.exec(await redis.info('memory'))?.[1])

  await app.sessions.create({ id: '1', name: 'Ada', email: 'ada@example.com' } as never)
  const before = await usedBytes()
  for (let from = 100_000; from < 100_000 + COUNT; from += 250) {
    const ids = Array.from({ length: 250 }, (_, index) => from + index)
    const create = (id: number) => {
      const user = { id: `${id}`, name: `User ${id}`, email: `user${id}@example.com` }
      return app.sessions.create(user, { ip: '203.0.113.77', userAgent: CHROME })
    }
    await Promise.all(ids.map(create))
  }
  const perSession = ((await usedBytes()) - before) / COUNT
  t.comment(`${perSession.toFixed(0)} bytes`)
  t.ok(perSession < 400)
  t.equal(await redis.dbsize(), COUNT + 1, 'one key each')
})
