import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createFileStore } from '../examples/file-store.js'
import { createMemoryStore, createRedisStore, type SessionStore, type StoredSession } from '../lib/index.js'
import { connectRedis, startRedis } from './fixtures/redis/start-redis.js'
import { testStoreContract } from './fixtures/store-contract.js'
import { createUser, findAll, HOUR_MS, recordOf } from './fixtures/store-user.js'

const server = await startRedis(t)

const STORES: Record<string, (t: Test) => Promise<SessionStore>> = {
  memory: async () => createMemoryStore(),
  Redis: async () => createRedisStore(server.client({ protocol: 3 })),
  'Redis with a keyPrefix': async (t) => createRedisStore(await connectRedis(t)),
  'Redis with RESP2 and automatic pipelines': async () =>
    createRedisStore(server.client({ keyPrefix: 'app:', protocol: 2, enableAutoPipelining: true })),
  'files, of examples/file-store.ts,': async (t) => createFileStore(t.testdir())
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`the store in ${name} keeps the contract:`, async (t) => testStoreContract(t, createStore))
}

t.test('fifty logins through five clients at the same time leave five sessions', async (t) => {
  const stores = Array.from({ length: 5 }, () => createRedisStore(server.client()))
  for (const evictionReason of ['replaced', null] as const) {
    const { tag, newId } = createUser(stores[0] as SessionStore)
    const ids = Array.from({ length: 50 }, newId)
    const creations = ids.map((id, i) => stores[i % 5]?.create(id, recordOf(id), HOUR_MS, { max: 5, evictionReason }))
    t.equal((await Promise.all(creations)).filter(Boolean).length, evictionReason === null ? 5 : 50)
    for (const store of stores) {
      t.equal((await findAll(store, ids)).filter((text) => text?.includes(' ')).length, 5)
      t.equal((await store.list(tag)).length, 5)
    }
  }
})

t.test('a user with 3,000 sessions can be listed, limited and ended', async (t) => {
  for (const store of [createMemoryStore(), createRedisStore(server.client())]) {
    const { tag, newId } = createUser(store)
    const sessions = Array.from({ length: 3_000 }, (_, i) => ({ id: newId(), record: recordOf(`${i}`) }))
    await Promise.all(sessions.map(({ id, record }) => store.create(id, record, HOUR_MS, null)))
    t.strictSame(await store.list(tag), sessions)
    await store.create(newId(), recordOf('new'), HOUR_MS, { max: 10, evictionReason: 'replaced' })
    const [oldest, ...others] = await store.list(tag)
    t.strictSame([oldest?.id, others.length], [sessions[2_991]?.id, 9])
    await store.endAll(tag, 'revoked', oldest?.id ?? null)
    t.strictSame(await store.list(tag), [oldest])
  }
})

t.test(
  'Redis and memory say the same, whatever happens in whatever order, and each key has a TTL all the time',
  async (t) => {
    const client = server.client({ keyPrefix: 'same:' })
    const both = [createMemoryStore(), createRedisStore(client)]
    const ttls = new Map<string, number>()
    for (let seed = 1; seed <= 10; seed++) await playScene(t, both, createRandom(seed), noteTtls)
    t.ok(ttls.size > 100, `${ttls.size} keys`)
    t.notOk([...ttls.values()].includes(-1))

    async function noteTtls(tag: string): Promise<void> {
      const keys = (await client.keys(`same:fjs:{${tag}}*`)).map((key) => key.slice('same:'.length))
      for (const key of keys) if (ttls.get(key) !== -1) ttls.set(key, await client.pttl(key))
    }
  }
)

type Act = (store: SessionStore) => Promise<unknown>

async function playScene(
  t: Test,
  stores: SessionStore[],
  random: (below: number) => number,
  afterEach: (tag: string) => Promise<void>
): Promise<void> {
  const user = createUser(stores[0] as SessionStore)
  const sessions: (StoredSession & { lifeMs: number })[] = []
  const script: string[] = []

  /** What is listed and found of the others is for the store to say. */
  const live = () => sessions.filter(({ lifeMs }) => lifeMs > 1)

  function nextAct(): Act {
    const lifeMs = random(4) === 0 ? 1 : HOUR_MS
    const session = { id: user.newId(), record: recordOf(`${script.length}`, HOUR_MS + random(1_000)), lifeMs }
    const chosen = sessions[random(sessions.length)]
    const kind = chosen === undefined ? 0 : random(6)
    script.push(`${kind} ${sessions.indexOf(chosen as (typeof sessions)[0])} ${lifeMs}`)
    if (chosen === undefined || kind <= 2) {
      sessions.push(session)
      const limit = [null, { max: 1 + random(4), evictionReason: random(2) ? null : ('replaced' as const) }][random(2)]
      return (store) => store.create(session.id, session.record, lifeMs, limit ?? null)
    }
    if (kind === 3) return (store) => store.end(chosen.id, 'logged_out')
    const exceptId = random(3) ? chosen.id : null
    if (kind === 4) return (store) => store.endAll(user.tag, 'revoked', exceptId)
    const { id, record } = chosen
    return async (store) => {
      const isReplaced = await store.replace(id, record, session.record, lifeMs)
      if (isReplaced) Object.assign(chosen, { record: session.record, lifeMs })
      return isReplaced
    }
  }

  async function observe(store: SessionStore): Promise<unknown> {
    const ids = live().map(({ id }) => id)
    const listed = (await store.list(user.tag)).filter(({ id }) => ids.includes(id))
    return { found: await findAll(store, ids), listed }
  }

  for (let step = 0; step < 40; step++) {
    const act = nextAct()
    const [answer, other] = await Promise.all(stores.map(act))
    await delay(2)
    const [seen, otherSeen] = await Promise.all(stores.map(observe))
    if (!t.strictSame([other, otherSeen], [answer, seen], script.join(', '))) return
    await afterEach(user.tag)
  }
}

/** Random enough, and the same each time. */
function createRandom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7fffffff
    return (state >> 16) % below
  }
}
