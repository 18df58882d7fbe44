import t from 'tap'
import { createRedisStore } from '../lib/index.js'
import { createApp, withToken } from './fixtures/app.js'
import { readCounter } from './fixtures/count-reads.js'
import { startRedis } from './fixtures/redis/start-redis.js'
import { upstream } from './fixtures/tokens.js'

t.test('requests that come together ask Redis together, and each gets its own session', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { upstream, redis: redis.client(), cache: false })
  const users = Array.from({ length: 250 }, (_, index) => `user-${index}`)
  const tokens = await Promise.all(users.map(async (id) => (await app.sessions.create({ id })).token))
  await app.sessions.revokeAll('user-7')
  const countReads = readCounter(redis.client())
  await countReads()
  const answers = await Promise.all(tokens.map((token) => app.inject(withToken(token))))
  t.strictSame(
    answers.map((answer) => answer.json().user?.id ?? answer.json().reason),
    users.map((id) => (id === 'user-7' ? 'revoked' : id))
  )
  const reads = await countReads()
  t.ok(reads < 50, `${reads} commands for 250 requests`)
  for (const token of tokens.slice(0, 5)) t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.equal(await countReads(), 5, 'and those that come one after the other each ask alone')
})

t.test('of questions that were asked together none is left without an answer when Redis fails', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client()
  const store = createRedisStore(client)
  const ids = Array.from({ length: 250 }, (_, index) => String(index).padStart(38, 'x'))
  t.strictSame(new Set(await Promise.all(ids.map((id) => store.find(id)))), new Set([null]))
  client.disconnect()
  const failed = await Promise.allSettled(ids.map((id) => store.find(id)))
  t.strictSame(new Set(failed.map(({ status }) => status)), new Set(['rejected']))
})
