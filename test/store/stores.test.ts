import { randomUUID } from 'node:crypto'
import t, { type Test } from 'tap'
import { createMemoryStore } from '../../lib/store/memory-store.js'
import { createRedisStore } from '../../lib/store/redis/redis-store.js'
import { type ClientOptions, keysWithoutTtl, startRedis } from '../fixtures/redis/start-redis.js'
import { type OpenStore, testStoreContract } from '../fixtures/store-contract.js'

const server = await startRedis(t)

/** Opens stores over five clients, like five processes. */
function prepareRedis(options: ClientOptions): () => Promise<OpenStore> {
  return async () => {
    const keyPrefix = `${randomUUID()}:`
    const stores = Array.from({ length: 5 }, () => createRedisStore(server.client({ keyPrefix, ...options })))
    let opened = 0
    return () => stores[opened++ % stores.length] ?? createRedisStore(server.client({ keyPrefix, ...options }))
  }
}

const STORES: Record<string, (t: Test) => Promise<OpenStore>> = {
  memory: async (t) => {
    const store = createMemoryStore()
    t.teardown(() => store.close())
    return () => store
  },
  Redis: prepareRedis({ protocol: 3 })
}

for (const [name, prepare] of Object.entries(STORES)) {
  t.test(`the store in ${name} fulfills the contract:`, async (t) => testStoreContract(t, prepare))
}

t.test('the contract leaves no key without a TTL in Redis', async (t) => {
  const client = server.client()
  t.ok((await client.dbsize()) > 0)
  t.strictSame(await keysWithoutTtl(client), [])
})
