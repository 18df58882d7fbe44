import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createFileStore } from '../../examples/file-store.js'
import { createTableStore, type Table } from '../../examples/table-store.js'
import { type OpenStore, testStoreContract } from '../fixtures/store-contract.js'
import { createUser, optionsOf, recordOf } from '../fixtures/store-user.js'

/** Fewer sessions than in other stores: these stores write all sessions of a user at each login. */
const CROWD = 600

const STORES: Record<string, (t: Test) => Promise<OpenStore>> = {
  files: async (t) => {
    const store = await createFileStore(t.testdir(), { isNew: true })
    return () => store
  },
  'a table': async () => {
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
  t.test(`the store in ${name} fulfills the contract:`, async (t) => testStoreContract(t, prepare, CROWD))
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
