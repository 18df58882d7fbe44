import { Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import { createMemoryStore, createRedisStore, type SessionStore } from '../lib/index.js'
import { createSessionId } from '../lib/session-id.js'
import { connectRedis, startRedis } from './fixtures/redis/start-redis.js'
import { until } from './fixtures/until.js'

const STORES: Record<string, (t: Test) => Promise<SessionStore>> = {
  memory: async () => createMemoryStore(),
  redis: async (t) => createRedisStore(await connectRedis(t)),
  'Redis Cluster': async (t) => createRedisStore(await connectCluster(t))
}

/** A Cluster of one master that has all slots. */
async function connectCluster(t: Test): Promise<Cluster> {
  const server = await startRedis(t, {
    tcp: true,
    args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1']
  })
  const admin = server.client()
  await admin.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383')
  await until(async () => String(await admin.cluster('INFO')).includes('cluster_state:ok'))
  const cluster = new Cluster([server.url ?? ''], { keyPrefix: 'app:' })
  cluster.on('error', () => {})
  t.teardown(() => cluster.disconnect())
  return cluster
}

const RECORDS = ['{"a":1}', '', ' \r\n\0\u2028', '😀'.repeat(1_000), '\\ud800 "quoted" $1 %s', 'x'.repeat(70_000)]

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the ${name} store keeps its contract`, async (t) => {
    const store = await createStore(t)

    t.test('finds what was created, to the character', async (t) => {
      for (const record of RECORDS) {
        const id = createSessionId('ada')
        await store.create(id, record, 60_000)
        t.equal(await store.find(id), record)
      }
    })

    t.test('answers null for an id it does not know', async (t) => {
      t.equal(await store.find(createSessionId('ada')), null)
    })

    t.test('keeps the sessions of a user apart', async (t) => {
      const ids = [createSessionId('ada'), createSessionId('ada'), createSessionId('bob')]
      await Promise.all(ids.map((id) => store.create(id, `record of ${id}`, 60_000)))
      await store.delete(ids[0] as string)
      t.strictSame(await Promise.all(ids.map((id) => store.find(id))), [
        null,
        ...ids.slice(1).map((id) => `record of ${id}`)
      ])
    })

    t.test('forgets what was deleted, and is content when there is nothing to delete', async (t) => {
      const id = createSessionId('ada')
      await store.create(id, 'record', 60_000)
      await store.delete(id)
      await store.delete(id)
      t.equal(await store.find(id), null)
    })

    t.test('forgets a record when its time is over, and not before', async (t) => {
      const id = createSessionId('ada')
      const createdAt = Date.now()
      await store.create(id, 'record', 200)
      await until(async () => {
        const askedAt = Date.now()
        const found = await store.find(id)
        if (askedAt < createdAt + 150) t.equal(found, 'record')
        return found === null
      })
      t.ok(Date.now() - createdAt >= 199, 'not before its time')
    })
  })
}

t.test('the memory store gives memory back when sessions expire, also those of more than 24 days', async (t) => {
  const timers: { callback: () => void; delayMs: number | undefined }[] = []
  t.intercept(globalThis, 'setTimeout', {
    value: (callback: () => void, delayMs?: number) => {
      timers.push({ callback, delayMs })
      return { unref: () => ({}) }
    }
  })
  const store = createMemoryStore()
  const clock = t.intercept(Date, 'now', { value: () => now })
  let now = 0
  await store.create('id', 'record', 2 ** 31 + 99)
  t.equal(timers.at(-1)?.delayMs, 2 ** 31 - 1, 'no longer than a timer can wait')
  now = 2 ** 31 - 1
  timers.at(-1)?.callback()
  t.equal(await store.find('id'), 'record')
  t.equal(timers.at(-1)?.delayMs, 100, 'and then the rest')
  now += 100
  timers.at(-1)?.callback()
  now = 0
  t.equal(await store.find('id'), null, 'forgotten, whatever the clock says now')
  t.ok(clock().length > 0)
})

t.test('a closed memory store has forgotten everything', async (t) => {
  const store = createMemoryStore()
  await store.create('id', 'record', 60_000)
  store.close()
  t.equal(await store.find('id'), null)
})

t.test('the redis store', async (t) => {
  const client = await connectRedis(t)
  const store = createRedisStore(client)
  const { keyPrefix = '' } = client.options

  t.test('gives every key a TTL, and keeps the sessions of a user in one Cluster slot', async (t) => {
    const ids = [createSessionId('ada'), createSessionId('ada')]
    await Promise.all(ids.map((id) => store.create(id, 'record', 60_000)))
    const keys = await client.keys(`${keyPrefix}*`)
    t.equal(keys.length, 2)
    const bare = keys.map((key) => key.slice(keyPrefix.length))
    for (const key of bare) t.ok((await client.pttl(key)) > 59_000)
    const tags = bare.map((key) => /^jwt-session:\{([\w-]{8})\}[\w-]{24}$/.exec(key)?.[1])
    t.ok(tags[0])
    t.equal(tags[0], tags[1])
  })

  t.test('takes a value of another type for no session, and can still delete it', async (t) => {
    const id = createSessionId('ada')
    await store.create(id, 'record', 60_000)
    const key = (await client.keys(`${keyPrefix}*`)).map((key) => key.slice(keyPrefix.length))
    await client.del(...key)
    await client.lpush(`jwt-session:{${id.slice(0, 8)}}${id.slice(8)}`, 'not a session')
    t.equal(await store.find(id), null)
    await store.delete(id)
    t.strictSame(await client.keys(`${keyPrefix}*`), [])
  })

  t.test('rejects when Redis cannot be asked', async (t) => {
    client.disconnect()
    const id = createSessionId('ada')
    await t.rejects(store.find(id))
    await t.rejects(store.create(id, 'record', 60_000))
    await t.rejects(store.delete(id))
  })
})
