import t from 'tap'
import { createMemoryStore } from '../../lib/store/memory-store.js'
import { readRights } from '../fixtures/readme-rights.js'
import { prepareStores } from '../fixtures/redis/prepare-stores.js'
import { createRestrictedUser } from '../fixtures/redis/restricted-user.js'
import { keysWithoutTtl, startRedis } from '../fixtures/redis/start-redis.js'
import { testStoreContract } from '../fixtures/store-contract.js'

t.test('the store in memory fulfills the contract:', async (t) =>
  testStoreContract(t, async (t) => {
    const store = createMemoryStore()
    t.teardown(() => store.close())
    return () => store
  })
)

t.test('the store in Redis fulfills the contract with the rights of README, and uses no other right', async (t) => {
  const server = await startRedis(t)
  const { credentials, allow, denied } = createRestrictedUser(server)
  const { always } = await readRights()
  // Each test has its own key prefix.
  await allow(always.map((right) => right.replace('~', '~*:')))
  await t.test('the store in Redis fulfills the contract:', async (t) =>
    testStoreContract(t, prepareStores(server, { protocol: 3, ...credentials }))
  )
  t.strictSame(await denied(), [])
  const client = server.client()
  t.ok((await client.dbsize()) > 0)
  t.strictSame(await keysWithoutTtl(client), [], 'every key has a TTL')
})
