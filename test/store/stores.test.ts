import { randomUUID } from 'node:crypto'
import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createFileStore } from '../../examples/file-store.js'
import { createTableStore, type Table } from '../../examples/table-store.js'
import { createMemoryStore } from '../../lib/store/memory-store.js'
import { createRedisStore } from '../../lib/store/redis/redis-store.js'
import { type ClientOptions, connectRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { type OpenStore, testStoreContract } from '../fixtures/store-contract.js'
import { createUser, optionsOf, recordOf } from '../fixtures/store-user.js'

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
  'Redis with RESP3': prepareRedis({ protocol: 3 }),
  'Redis with RESP2 and auto-pipelining': prepareRedis({ protocol: 2, enableAutoPipelining: true }),
  'Redis, with a TTL for every key,': async (t) => {
    const store = createRedisStore(await connectRedis(t))
    return () => store
  },
  'files, of examples/file-store.ts,': async (t) => {
    const store = await createFileStore(t.testdir(), { isNew: true })
    return () => store
  },
  'a table, of examples/table-store.ts,': async () => {
    const table = createTable()
    return () => createTableStore(table)
  }
}

function createTable(): Table {
  const rows = new Map<string, string>()
  return {
    read: async (tag) => ({ text: rows.get(tag) ?? null, now: performance.timeOrigin + performance.now() }),
    async write(tag, next, previous) {
      const isFirst = (rows.get(tag) ?? null) === previous
      if (isFirst) rows.set(tag, next)
      return isFirst
    }
  }
}

for (const [name, prepare] of Object.entries(STORES)) {
  // The example stores write all sessions of a user at each login.
  const crowd = name.includes('examples') ? 600 : 1_000
  t.test(`the store in ${name} fulfills the contract:`, async (t) => testStoreContract(t, prepare, crowd))
}

t.test(
  'a pause after the clock of a table was read neither rejects a later login nor accepts an earlier one',
  async (t) => {
    const table = createTable()
    let pauseMs = 0
    const store = createTableStore({
      ...table,
      async read(tag) {
        const row = await table.read(tag)
        await delay(pauseMs)
        return row
      }
    })
    const { tag, newId } = createUser(store)
    const open = (startedMsAgo: number) => store.create(newId(), recordOf('x'), optionsOf({ startedMsAgo }))
    await store.endAll(tag, 'revoked', null)
    pauseMs = 50
    t.equal(await open(0), 'created')
    await store.endAll(tag, 'revoked', null)
    t.equal(await open(1_000), 'revoked')
    pauseMs = 0
    t.equal(await open(1_000), 'revoked')
  }
)
