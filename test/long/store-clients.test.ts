import t from 'tap'
import { createRedisStore } from '../../lib/index.js'
import { createFaultyStore } from '../../lib/testing/index.js'
import { runRecipe } from '../fixtures/recipes.js'
import { prepareStores } from '../fixtures/redis/prepare-stores.js'
import { startCluster } from '../fixtures/redis/start-cluster.js'
import { keysWithoutTtl, startRedis } from '../fixtures/redis/start-redis.js'
import { startSentinel } from '../fixtures/redis/start-sentinel.js'
import { testStoreContract } from '../fixtures/store-contract.js'

const cluster = await startCluster(t)

const CLIENTS = {
  'a plain client': {},
  'a client with a keyPrefix and automatic pipelines': { keyPrefix: 'app:', enableAutoPipelining: true },
  'a client with RESP2 and a keyPrefix with a hash tag': { keyPrefix: '{app}:', redisOptions: { protocol: 2 as const } }
}

for (const [name, options] of Object.entries(CLIENTS)) {
  t.test(`the store in a Redis Cluster, through ${name}, fulfills the contract:`, async (t) => {
    const store = createRedisStore(cluster.connect(options))
    testStoreContract(t, async () => () => store)
  })
}

t.test('the store in Redis, through a client with RESP2 and automatic pipelines, fulfills the contract:', async (t) => {
  testStoreContract(t, prepareStores(await startRedis(t), { protocol: 2, enableAutoPipelining: true }))
})

t.test('the store in Redis, through Sentinel, fulfills the contract, and leaves no key without a TTL:', async (t) => {
  const { master, connect } = await startSentinel(t)
  const store = createRedisStore(connect({ commandTimeout: 500 }))
  testStoreContract(t, async () => () => store)
  t.test('no key without a TTL', async (t) => t.strictSame(await keysWithoutTtl(master.client()), []))
})

t.test('the store over a node-redis client fulfills the contract', async (t) => {
  const redis = await startRedis(t, { tcp: true })
  const env = { REDIS_URL: redis.url ?? '' }
  // Separate clients, as in separate processes.
  const [first, second] = [
    await runRecipe(t, 'A node-redis client', { env }),
    await runRecipe(t, 'A node-redis client', { env })
  ]
  let opened = 0
  testStoreContract(t, async () => () => [first, second][opened++ % 2]?.store ?? first.store)
})

t.test('without a fault a faulty store keeps the contract of a store', async (t) => {
  testStoreContract(t, async () => {
    const store = createFaultyStore()
    return () => store
  })
})
