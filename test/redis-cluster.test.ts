import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createRedisStore } from '../lib/index.js'
import { splitSessionId } from '../lib/model/session-id.js'
import { readRights } from './fixtures/readme-rights.js'
import { startCluster } from './fixtures/redis/start-cluster.js'
import { testStoreContract } from './fixtures/store-contract.js'
import { createUser, findAll, HOUR_MS, recordOf } from './fixtures/store-user.js'
import { until } from './fixtures/until.js'

const cluster = await startCluster(t)
const masters = cluster.masters.map((master) => master.client())
const store = createRedisStore(cluster.connect())
// What is not stable is asked for again, by default 16 times after 100 ms each.
const hasty = createRedisStore(cluster.connect({ maxRedirections: 2, retryDelayOnTryAgain: 5 }))
const everyone = [...masters, ...cluster.replicas.map((replica) => replica.client())]

const CLIENTS = {
  'a plain client': {},
  'a client with a keyPrefix and automatic pipelines': { keyPrefix: 'app:', enableAutoPipelining: true },
  'a client with RESP2 and a keyPrefix with a hash tag': { keyPrefix: '{app}:', redisOptions: { protocol: 2 as const } }
}

for (const [name, options] of Object.entries(CLIENTS)) {
  t.test(`the store in a Redis Cluster, through ${name}, keeps the contract:`, async (t) => {
    const store = createRedisStore(cluster.connect(options))
    testStoreContract(t, async () => store)
  })
}

t.test(
  'many users at once are spread over all masters, each in one slot of one of them, and all keys have a TTL',
  async (t) => {
    const store = createRedisStore(cluster.connect({ enableAutoPipelining: true }))
    const users = Array.from({ length: 60 }, () => createUser(store))
    const limit = { max: 2, evictionReason: 'replaced' as const }
    const creations = users.flatMap(({ newId }) => [newId(), newId(), newId()])
    await Promise.all(creations.map((id) => store.create(id, recordOf(id), HOUR_MS, limit)))
    for (const { tag } of users) t.equal((await store.list(tag)).length, 2)

    const eternal: string[] = []
    const homes = new Map(users.map(({ tag }) => [tag, new Set<unknown>()]))
    for (const [i, master] of masters.entries()) {
      const keys = await master.keys('*fjs:*')
      t.ok(keys.length > 0, `master ${i} has its share`)
      for (const key of keys) {
        if ((await master.pttl(key)) === -1) eternal.push(key)
        homes.get(/\{(.*)\}/.exec(key)?.[1] ?? '')?.add(await master.cluster('KEYSLOT', key))
      }
    }
    t.strictSame(eternal, [], 'no key without a TTL')
    for (const [tag, slots] of homes) t.equal(slots.size, 1, tag)
  }
)

t.test('masters that have forgotten the script are told it again', async (t) => {
  const users = Array.from({ length: 20 }, () => createUser(store))
  const sessions = await Promise.all(users.map(({ open }) => open()))
  await Promise.all(masters.map((master) => master.script('FLUSH')))
  await Promise.all(sessions.map(({ id }) => store.end(id, 'revoked')))
  t.strictSame(
    await findAll(
      store,
      sessions.map(({ id }) => id)
    ),
    Array(20).fill('revoked')
  )
})

const { always, inCluster } = await readRights()

t.test('a Redis user needs the rights of README, with those for a Cluster, and no others', async (t) => {
  const rights = [...always, ...inCluster]
  const user = { username: 'sessions', password: 'a password' }
  for (const missing of [...inCluster, null]) {
    const granted = rights.filter((right) => right !== missing)
    for (const node of everyone) {
      await node.call('ACL', 'SETUSER', user.username, 'reset', 'on', `>${user.password}`, ...granted)
      await node.call('ACL', 'LOG', 'RESET')
    }
    const store = createRedisStore(cluster.connect({ clusterRetryStrategy: () => null, redisOptions: user }))
    const { tag, openMany } = createUser(store)
    const using = openMany(2).then((sessions) => store.endAll(tag, 'revoked', sessions[0]?.id ?? null))
    if (missing === null) {
      await using
      await t.test('with which the store keeps the contract:', async (t) => testStoreContract(t, async () => store))
    } else await t.rejects(using, missing)
    const log = JSON.stringify(await Promise.all(everyone.map((node) => node.call('ACL', 'LOG'))))
    const denied = new Set([...log.matchAll(/"object","([^"]+)"/g)].map(([, object]) => `+${object}`))
    // A name for itself, and replicas to read from, which the store does not want: ioredis does without.
    for (const right of ['+client|setinfo', '+client|setname', '+client', '+readonly']) denied.delete(right)
    t.strictSame([...denied], missing === null ? [] : [missing])
  }
})

/** Which of a user's keys have arrived: the index, if there is one, the first session, and the others. */
const ARRIVED = {
  'nothing has arrived': [0, 0],
  'the index has arrived': [0, 1],
  'the index and the first have arrived': [0, 2],
  'all but the index have arrived': [1, 9],
  'all but the index and the first have arrived': [2, 9],
  'everything has arrived': [0, 9]
} as const

t.test('while a slot is on its way to another master nothing is said to be gone, or done that is not', async (t) => {
  for (const count of [1, 3]) {
    for (const [moved, [from, to]] of Object.entries(ARRIVED)) {
      t.test(`${count} sessions, of which ${moved}`, (t) => testMove(t, count, (keys) => keys.slice(from, to)))
    }
  }
})

/** What is refused may be done nevertheless; what is done must be. */
async function testMove(t: Test, count: number, arrived: (keys: string[]) => string[]): Promise<void> {
  const { tag, newId, openMany } = createUser(store)
  const sessions = await openMany(count)
  const ids = sessions.map(({ id }) => id)
  const [refused, opened] = [newId(), newId()]
  const index = `fjs:{${tag}}`
  const keys = [index, `${index}0`, ...[...ids, refused, opened].map((id) => index + splitSessionId(id)[1])]
  const move = await startMove(index)
  await move.send(arrived(keys))

  for (const { id, record } of sessions) t.equal(await hasty.find(id).catch(() => record), record)
  t.strictSame(await hasty.list(tag).catch(() => sessions), sessions)
  const limit = { max: count, evictionReason: null }
  t.equal(await hasty.create(refused, recordOf('x'), HOUR_MS, limit).catch(() => false), false)
  const isOpen = await succeeds(hasty.create(opened, recordOf('x'), HOUR_MS, null))
  const hasEnded = await succeeds(hasty.end(ids[0] as string, 'logged_out'))
  const haveEnded = await succeeds(hasty.endAll(tag, 'revoked', null))

  await move.finish(keys)
  const found = await findAll(store, isOpen ? [...ids, opened] : ids)
  t.notOk(found.includes(null), 'nothing is lost')
  if (hasEnded) t.equal(found[0], 'logged_out')
  if (haveEnded) t.strictSame(found.filter(isRecord), [])
  await store.endAll(tag, 'revoked', null)
  t.strictSame((await findAll(store, ids)).filter(isRecord), [], 'in the end everything can be ended')
}

/** Moves the slot of this key from its master to another one. */
async function startMove(ofKey: string) {
  const slot = Number(await masters[0]?.cluster('KEYSLOT', ofKey))
  const owner = await findOwner(slot)
  const next = (owner + 1) % masters.length
  const [from, to] = [masters[owner], masters[next]] as [Redis, Redis]
  const { host, port } = cluster.nodes[next] as { host: string; port: number }
  const nextId = await to.cluster('MYID')
  await to.cluster('SETSLOT', slot, 'IMPORTING', await from.cluster('MYID'))
  await from.cluster('SETSLOT', slot, 'MIGRATING', nextId)

  async function send(keys: string[]): Promise<void> {
    for (const key of keys) await from.call('MIGRATE', host, port, key, 0, 5_000, 'REPLACE')
  }

  return {
    send,
    async finish(keys: string[]): Promise<void> {
      await send(keys)
      // Some other test's user may have the same slot.
      await send(await from.cluster('GETKEYSINSLOT', slot, 1_000))
      for (const node of [to, from, ...masters]) await node.cluster('SETSLOT', slot, 'NODE', nextId)
    }
  }
}

/** The place in `masters` of the one that has the slot. */
async function findOwner(slot: number): Promise<number> {
  const ranges = (await masters[0]?.cluster('SLOTS')) ?? []
  const owner = ranges.find(([first, last]) => first <= slot && slot <= last)
  return cluster.nodes.findIndex(({ port }) => port === owner?.[2]?.[1])
}

t.test('while a master is gone its sessions cannot be asked for, and its replica has them all', async (t) => {
  const options = { slotsRefreshInterval: 200, retryDelayOnFailover: 20, redisOptions: { commandTimeout: 200 } }
  const store = createRedisStore(cluster.connect(options))
  const users = Array.from({ length: 20 }, () => createUser(store))
  const sessions = (await Promise.all(users.map(({ openMany }) => openMany(2)))).flat()
  await Promise.all(masters.map((master) => master.wait(1, 5_000)))
  await cluster.masters[0].kill()
  await until(async () => {
    const found = await Promise.all(sessions.map(({ id, record }) => store.find(id).catch(() => `not ${record}`)))
    t.notOk(found.includes(null), 'none is said to be gone')
    return found.every((text, i) => text === sessions[i]?.record)
  })
  for (const { tag } of users) {
    t.equal((await store.list(tag)).length, 2)
    await store.endAll(tag, 'revoked', null)
  }
  t.strictSame(
    new Set(
      await findAll(
        store,
        sessions.map(({ id }) => id)
      )
    ),
    new Set(['revoked'])
  )
})

function isRecord(text: string | null): boolean {
  return text?.includes(' ') ?? false
}

async function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
