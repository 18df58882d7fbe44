import t from 'tap'
import { createApp, withToken } from '../fixtures/app.js'
import { connectRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { freezeClock, upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const session = { idleTimeoutSeconds: 100, ttlSeconds: 1_000 }

t.test('verify() checks a token like a request, and returns the live session', async (t) => {
  const app = await createApp(t, { upstream })
  const { token, session } = await app.sessions.create({ id: 'ada' }, { data: { theme: 'dark' } })
  t.strictSame(await app.sessions.verify(token), session)
})

t.test('with the cache each call of verify() returns a new copy', async (t) => {
  const app = await createApp(t, { upstream, redis: await connectRedis(t), cache: true })
  const { token } = await app.sessions.create({ id: 'ada' }, { data: { list: [1] } })
  for (let i = 0; i < 5; i++) {
    const verified = (await app.sessions.verify(token)) as { data: Record<string, unknown[]>; user: { id: string } }
    t.strictSame(verified.data, { list: [1] })
    t.equal(verified.user.id, 'ada')
    verified.data.list?.push(2)
    verified.user.id = 'eve'
  }
  t.equal((await app.inject(withToken(token))).json().user.id, 'ada')
})

t.test('verify() rejects a token without a live session with the reason', async (t) => {
  const app = await createApp(t, { upstream })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  for (const wrong of ['', 'x', `${token}x`, session.id, undefined, null, 1, {}]) {
    await t.rejects(app.sessions.verify(wrong as string), { code: 'FST_JWT_SESSION_ENDED', reason: 'invalid_token' })
  }
  await app.sessions.revoke(session.id)
  await t.rejects(app.sessions.verify(token), { code: 'FST_JWT_SESSION_ENDED', reason: 'revoked' })
})

t.test('verify() rejects with a 503 during an outage', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { upstream, redis: redis.client(), storeTimeoutMs: 1_000 })
  const { token } = await app.sessions.create({ id: 'ada' })
  redis.stall()
  await t.rejects(app.sessions.verify(token), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', statusCode: 503 })
  redis.resume()
  await until(async () => (await app.sessions.verify(token).catch(() => null)) !== null)
})

t.test('verify() is activity, unless `slide` is false', async (t) => {
  const clock = freezeClock(t)
  const app = await createApp(t, { upstream, session })
  const { token, session: created } = await app.sessions.create({ id: 'ada' })
  clock.now += 50
  await app.sessions.verify(token, { slide: false })
  t.equal((await app.sessions.find(created.id))?.lastSeenAt, created.lastSeenAt)
  await app.sessions.verify(token)
  await until(async () => (await app.sessions.find(created.id))?.lastSeenAt === created.lastSeenAt + 50_000)
})

t.test('verify() rejects invalid options with a code', async (t) => {
  const app = await createApp(t, { upstream })
  const { token } = await app.sessions.create({ id: 'ada' })
  const code = 'FST_JWT_SESSION_INVALID_OPTION'
  await t.rejects(app.sessions.verify(token, { slide: 'no' as never }), { code, option: 'slide' })
  await t.rejects(app.sessions.verify(token, { slid: false } as never), { code, option: 'options.slid' })
})
