import t from 'tap'
import { createRedisStore, type RedisClient } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { readCounter } from '../fixtures/count-reads.js'
import { RedisProcess } from '../fixtures/redis/redis-process.js'
import { highestPort } from '../fixtures/redis/start-cluster.js'
import { createHandle, startRedis } from '../fixtures/redis/start-redis.js'
import { createUser, recordsOf } from '../fixtures/store-user.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

t.test('simultaneous requests share commands to Redis, and each request gets its own session', async (t) => {
  const redis = await startRedis(t)
  const app = await createApp(t, { upstream, redis: redis.client(), cache: false, storeTimeoutMs: 30_000 })
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
  t.equal(await countReads(), 5, 'successive requests send a command each')
})

t.test(
  'in a Cluster of one server, a client that is not made for a Cluster reads each session with its own command',
  async (t) => {
    const server = new RedisProcess(['--cluster-enabled', 'yes'])
    t.teardown(() => server.destroy())
    await server.startOnFreePort(highestPort)
    const client = createHandle(t, server).client()
    await client.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
    await until(async () => (await client.cluster('INFO')).includes('cluster_state:ok'))
    const store = createRedisStore(client)
    const sessions = await Promise.all(Array.from({ length: 20 }, () => createUser(store).open()))
    for (const round of ['the first round', 'the second round']) {
      const found = await Promise.all(sessions.map(({ id }) => store.find(id)))
      t.strictSame(found, recordsOf(sessions), round)
    }
    const failed = /cmdstat_mget:.*rejected_calls=1,/
    t.match(await client.info('commandstats'), failed, 'Redis has refused only one command')
  }
)

t.test('all reads that were sent together reject when Redis fails', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client()
  const store = createRedisStore(client)
  const ids = Array.from({ length: 250 }, (_, index) => String(index).padStart(38, 'x'))
  t.strictSame(new Set(await Promise.all(ids.map((id) => store.find(id)))), new Set([null]))
  client.disconnect()
  const failed = await Promise.allSettled(ids.map((id) => store.find(id)))
  t.strictSame(new Set(failed.map(({ status }) => status)), new Set(['rejected']))
})

t.test('the first read of a turn is sent at once, and later reads in commands of at most 500 reads', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client()
  const sent: number[] = []
  const mget: RedisClient['mget'] = (...keys) => {
    sent.push(keys.length / 2)
    return client.mget(...keys)
  }
  const store = createRedisStore({
    mget,
    evalsha: (...args) => client.evalsha(...args),
    eval: (...args) => client.eval(...args)
  })
  const sessions = await createUser(store).openMany(2)
  const [first, second] = await Promise.all(sessions.map(({ id }) => store.find(id)))
  t.strictSame([first, second], recordsOf(sessions), 'a single read after the first read has a result too')
  t.strictSame(sent.splice(0), [1, 1])
  const found = Array.from({ length: 1_050 }, () => store.find(sessions[0]?.id ?? ''))
  t.strictSame(sent, [1, 500, 500], 'three commands before the end of the turn')
  t.strictSame(new Set((await Promise.all(found)).map((each) => JSON.stringify(each))).size, 1)
  t.strictSame(sent, [1, 500, 500, 49])
})
