import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createRedisStore, type FoundRecord } from '../../../lib/index.js'
import { splitSessionId } from '../../../lib/model/session-id.js'
import { createFaults } from '../../fixtures/faults.js'
import { readRights } from '../../fixtures/readme-rights.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { testStoreContract } from '../../fixtures/store-contract.js'
import { allEnded, byId, createUser, findAll, idsOf, optionsOf, recordOf } from '../../fixtures/store-user.js'
import { until } from '../../fixtures/until.js'

const cluster = await startCluster(t)
const masters = cluster.masters.map((master) => master.client())
const store = createRedisStore(cluster.connect())
// By default the client retries 16 times, 100 ms each, while a slot moves.
const hasty = createRedisStore(cluster.connect({ maxRedirections: 2, retryDelayOnTryAgain: 5 }))
const everyone = [...masters, ...cluster.replicas.map((replica) => replica.client())]

t.test(
  'many users at once are spread over all masters, the keys of each user are in one slot, and all keys have a TTL',
  async (t) => {
    const store = createRedisStore(cluster.connect({ enableAutoPipelining: true }))
    const users = Array.from({ length: 60 }, () => createUser(store))
    const limit = { max: 2, onFull: 'evict' as const }
    await Promise.all(users.flatMap(({ open }) => [open({ limit }), open({ limit }), open({ limit })]))
    for (const { tag } of users) t.equal((await store.list(tag)).length, 2)

    const eternal: string[] = []
    const homes = new Map(users.map(({ tag }) => [tag, new Set<unknown>()]))
    for (const [i, master] of masters.entries()) {
      const keys = await master.keys('*fjs:*')
      t.ok(keys.length > 0, `master ${i} has keys`)
      for (const key of keys) {
        if ((await master.pttl(key)) === -1) eternal.push(key)
        homes.get(/\{(.*)\}/.exec(key)?.[1] ?? '')?.add(await master.cluster('KEYSLOT', key))
      }
    }
    t.strictSame(eternal, [], 'every key has a TTL')
    for (const [tag, slots] of homes) t.equal(slots.size, 1, tag)
  }
)

t.test('the script is sent again to masters that have forgotten it', async (t) => {
  const users = Array.from({ length: 20 }, () => createUser(store))
  const sessions = await Promise.all(users.map(({ open }) => open()))
  await Promise.all(masters.map((master) => master.script('FLUSH')))
  await Promise.all(sessions.map(({ id }) => store.end(id, 'revoked')))
  t.strictSame(await findAll(store, idsOf(sessions)), allEnded(20, 'revoked'))
})

const { always, inCluster } = await readRights()

t.test('a Redis user in a Cluster needs exactly the rights of README for a Cluster', async (t) => {
  const rights = [...always, ...inCluster]
  const user = { username: 'sessions', password: 'a password' }
  for (const missing of [...inCluster, null]) {
    const granted = rights.filter((right) => right !== missing)
    for (const node of everyone) {
      await node.call('ACL', 'SETUSER', user.username, 'reset', 'on', `>${user.password}`, ...granted)
      await node.call('ACL', 'LOG', 'RESET')
    }
    const options = { keyPrefix: 'fjs:acl:', clusterRetryStrategy: () => null, redisOptions: user }
    const store = createRedisStore(cluster.connect(options))
    const { tag, openMany } = createUser(store)
    const using = openMany(2).then((sessions) => store.endAll(tag, 'revoked', sessions[0]?.id ?? null))
    if (missing === null) {
      await using
      await t.test('the store with the rights of README fulfills the contract:', async (t) =>
        testStoreContract(t, async () => () => store)
      )
    } else await t.rejects(using, missing)
    const log = JSON.stringify(await Promise.all(everyone.map((node) => node.call('ACL', 'LOG'))))
    const denied = new Set([...log.matchAll(/"object","([^"]+)"/g)].map(([, object]) => `+${object}`))
    // ioredis works without CLIENT, which names the connection, and without READONLY, which reads from replicas.
    for (const right of ['+client|setinfo', '+client|setname', '+client', '+readonly']) denied.delete(right)
    t.strictSame([...denied], missing === null ? [] : [missing])
  }
})

/** Ranges of a user's keys that have moved: the head, the index of several sessions, the first session, the others. */
const ARRIVED = {
  'nothing has arrived': [0, 0],
  'the head has arrived': [0, 1],
  'the head and the index have arrived': [0, 2],
  'the head, the index and the first session have arrived': [0, 3],
  'all but the head have arrived': [1, 99],
  'all but the head and the index have arrived': [2, 99],
  'all but the head, the index and the first session have arrived': [3, 99],
  'everything has arrived': [0, 99]
} as const

t.test('while a slot moves to another master no live session is missing, and each reply is true', async (t) => {
  for (const count of [1, 3]) {
    for (const [moved, [from, to]] of Object.entries(ARRIVED)) {
      await t.test(`a moving slot keeps ${count} sessions: ${moved}`, (t) =>
        testMove(t, count, (keys) => keys.slice(from, to))
      )
    }
  }
})

/** A rejected call may have taken effect; an acknowledged call must have taken effect. */
async function testMove(t: Test, count: number, arrived: (keys: string[]) => string[]): Promise<void> {
  const { tag, newId, openMany } = createUser(store)
  const sessions = await openMany(count)
  const ids = idsOf(sessions)
  const [refused, opened] = [newId(), newId()]
  const head = `fjs:{${tag}}`
  const own = [...ids, refused, opened].map((id) => head + splitSessionId(id)[1])
  const keys = [head, `${head}l`, ...own, `${head}.t`, ...own.map((key) => `${key}.t`)]
  const tokens = 'the tokens of the first session'
  const [first = ''] = ids
  await store.writeTokens?.(first, tokens, null)
  const move = await startMove(head)
  await move.send(arrived(keys))

  for (const { id, record } of sessions) {
    t.strictSame(await hasty.find(id).catch(() => ({ record })), { record })
  }
  t.strictSame(byId(await hasty.list(tag).catch(() => sessions)), byId(sessions))
  t.equal(await Promise.resolve(hasty.readTokens?.(first)).catch(() => tokens), tokens)
  const next = `${tokens}, refreshed`
  const writing = Promise.resolve(hasty.writeTokens?.(first, next, tokens))
  t.not(await writing.catch(() => true), false, 'no other tokens are seen')
  const limit = { max: count, onFull: 'reject' as const }
  t.equal(await hasty.create(refused, recordOf('x'), optionsOf({ limit })).catch(() => 'full'), 'full')
  const isOpen = await succeeds(hasty.create(opened, recordOf('x'), optionsOf()))
  const hasEnded = await succeeds(hasty.end(ids[0] as string, 'logged_out'))
  const haveEnded = await succeeds(hasty.endAll(tag, 'revoked', null))

  await move.finish(keys)
  const found = await findAll(store, isOpen ? [...ids, opened] : ids)
  t.notOk(found.includes(null), 'no session is lost')
  if (hasEnded) t.strictSame(found[0], { ended: 'logged_out' })
  if (hasEnded || haveEnded) t.equal(await store.readTokens?.(first), null)
  if (haveEnded) t.strictSame(found.filter(isOpenRecord), [])
  await store.endAll(tag, 'revoked', null)
  t.strictSame((await findAll(store, ids)).filter(isOpenRecord), [], 'all sessions can be ended after the move')
}

/** Moves the slot of a key to another master. */
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
      // A user of another test may have the same slot.
      await send(await from.cluster('GETKEYSINSLOT', slot, 1_000))
      for (const node of [to, from, ...masters]) await node.cluster('SETSLOT', slot, 'NODE', nextId)
    }
  }
}

/** The index in `masters` of the master with the slot. */
async function findOwner(slot: number): Promise<number> {
  const ranges = (await masters[0]?.cluster('SLOTS')) ?? []
  const owner = ranges.find(([first, last]) => first <= slot && slot <= last)
  return cluster.nodes.findIndex(({ port }) => port === owner?.[2]?.[1])
}

t.test('no session is missing while a master is down, and the replica has all sessions', async (t) => {
  const options = { slotsRefreshInterval: 200, retryDelayOnFailover: 20, redisOptions: { commandTimeout: 200 } }
  const store = createRedisStore(cluster.connect(options))
  const users = Array.from({ length: 20 }, () => createUser(store))
  const sessions = (await Promise.all(users.map(({ openMany }) => openMany(2)))).flat()
  await Promise.all(masters.map((master) => master.wait(1, 5_000)))
  await cluster.masters[0].kill()
  const faults = createFaults()
  await until(async () => {
    const found = await Promise.all(sessions.map(({ id }) => store.find(id).catch(() => 'unavailable')))
    for (const [i, each] of found.entries()) {
      if (each !== 'unavailable') faults.compare(`session ${i}`, each, { record: sessions[i]?.record })
    }
    return !found.includes('unavailable')
  })
  faults.assertNone(t)
  for (const { tag } of users) {
    t.equal((await store.list(tag)).length, 2)
    await store.endAll(tag, 'revoked', null)
  }
  t.strictSame(await findAll(store, idsOf(sessions)), allEnded(sessions.length, 'revoked'))
})

function isOpenRecord(found: FoundRecord | null): boolean {
  return found !== null && 'record' in found
}

async function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
