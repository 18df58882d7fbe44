import t, { type Test } from 'tap'
import { createMemoryStore } from '../../lib/store/memory-store.js'
import { prepareStores } from '../fixtures/redis/prepare-stores.js'
import { keysWithoutTtl, startRedis } from '../fixtures/redis/start-redis.js'
import { type OpenStore, testStoreContract } from '../fixtures/store-contract.js'

const server = await startRedis(t)

const STORES: Record<string, (t: Test) => Promise<OpenStore>> = {
  memory: async (t) => {
    const store = createMemoryStore()
    t.teardown(() => store.close())
    return () => store
  },
  Redis: prepareStores(server, { protocol: 3 })
}

for (const [name, prepare] of Object.entries(STORES)) {
  t.test(`the store in ${name} fulfills the contract:`, async (t) => testStoreContract(t, prepare))
}

t.test('the contract leaves no key without a TTL in Redis', async (t) => {
  const client = server.client()
  t.ok((await client.dbsize()) > 0)
  t.strictSame(await keysWithoutTtl(client), [])
})
