import t from 'tap'
import { logIn } from '../fixtures/app.js'
import { createCustodyApp, numberOf } from '../fixtures/custody-app.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { startTokenUpstream } from '../fixtures/token-upstream.js'

t.test('the access token of the login is there until it is due, then a refreshed one is', async (t) => {
  for (const redis of [undefined, await connectRedis(t)]) {
    const upstream = await startTokenUpstream(t)
    const app = await createCustodyApp(t, upstream, redis && { redis })
    const token = await logIn(app)
    t.equal(await numberOf(app, token), 1)
    t.equal(await numberOf(app, token, 1), 2, 'rejected')
    t.equal(await numberOf(app, token, 1), 2, 'rejected before the refresh')
    t.equal(await numberOf(app, token), 2)
    t.strictSame(upstream.refreshes, ['ada:1'])
    // Expires within the millisecond.
    upstream.expiresIn = Number.MIN_VALUE
    t.equal(await numberOf(app, token, 2), 3)
    upstream.expiresIn = 600
    t.equal(await numberOf(app, token), 4, 'expired')
    t.equal(await numberOf(app, token), 4)
    t.strictSame(upstream.accepted, ['ada:1', 'ada:2', 'ada:3'])
  }
})

t.test('100 calls at the same time on two instances are one refresh', async (t) => {
  const upstream = await startTokenUpstream(t)
  const redis = await connectRedis(t)
  const apps = [await createCustodyApp(t, upstream, { redis }), await createCustodyApp(t, upstream, { redis })] as const
  const token = await logIn(apps[0])
  const numbers = await Promise.all(Array.from({ length: 100 }, (_, i) => numberOf(apps[i % 2 ? 1 : 0], token, 1)))
  t.strictSame(new Set(numbers), new Set([2]))
  t.strictSame(upstream.refreshes, ['ada:1'])
})
