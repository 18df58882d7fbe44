import { setTimeout as delay } from 'node:timers/promises'
import { Cluster, Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { userTag } from '../../lib/model/session-id.js'
import { trackRedis } from '../../lib/store/redis/change-tracking.js'
import type { IoRedis } from '../../lib/store/redis/client.js'
import { masterOf, nodeKeyOf, slotOf, tagOnServer } from '../../lib/store/redis/cluster-slots.js'
import { createRedisStore, KEY_START } from '../../lib/store/redis/redis-store.js'
import { startCluster } from '../fixtures/redis/start-cluster.js'
import { closedAtTeardown, startRedis } from '../fixtures/redis/start-redis.js'
import { until } from '../fixtures/until.js'

const tag = userTag('ada')

function track(t: Test, client: IoRedis, maxStaleMs = 1_000) {
  const changes: (string | null)[] = []
  const refusals: string[] = []
  const tracking = trackRedis(client, KEY_START, {
    maxStaleMs,
    onChange: (changed) => changes.push(changed),
    onRefused: ({ message }) => refusals.push(message)
  })
  t.teardown(() => tracking.close())
  return { tracking, changes, refusals }
}

/** The connections that are duplicated from a client, each after `prepare`. */
function watchDuplicates(client: Redis, prepare: (connection: Redis) => void = () => {}): Redis[] {
  const connections: Redis[] = []
  client.duplicate = (options) => {
    const connection = Redis.prototype.duplicate.call(client, options)
    prepare(connection)
    connections.push(connection)
    return connection
  }
  return connections
}

async function countConnections(client: Redis): Promise<number> {
  return String(await client.client('LIST'))
    .trim()
    .split('\n').length
}

t.test('every change of a key below the prefix is notified, with the tag of the user', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client({ keyPrefix: 'app:' })
  const { tracking, changes } = track(t, client)
  await tracking.attempted
  t.ok(tracking.isCurrent(tag))
  await client.set(`fjs:{${tag}}`, 'head', 'PX', 10_000)
  await client.set(`fjs:{${tag}}0123456789012345678901`, 'own', 'PX', 10_000)
  await client.del(`fjs:{${tag}}`)
  await redis.client().set(`fjs:{${tag}}`, 'without the prefix', 'PX', 10_000)
  await client.set('other', 'x', 'PX', 10_000)
  await client.set('fjs:{1v}beat', 'x', 'PX', 10_000)
  await client.flushall()
  await until(() => changes.includes(null))
  t.strictSame(
    changes.filter((changed) => changed === tag),
    [tag, tag, tag]
  )
  const [beat, ...more] = changes.filter((changed) => changed !== null && changed !== tag)
  t.strictSame(more, [])
  t.notMatch(beat, /^[\w-]{16}$/, 'the key of a heartbeat belongs to no user')
})

t.test('the age of a heartbeat counts from the time of sending', async (t) => {
  const client = (await startRedis(t)).client()
  const maxStaleMs = 400
  let lastSentAt = 0
  let isAnswered = true
  watchDuplicates(client, (connection) => {
    connection.ping = async () => {
      if (!isAnswered) return new Promise(() => {})
      lastSentAt = performance.now()
      await delay(150)
      return 'PONG'
    }
  })
  const { tracking } = track(t, client, maxStaleMs)
  await tracking.attempted
  isAnswered = false
  t.ok(tracking.isCurrent(tag))
  let lastCurrentAt = 0
  while (tracking.isCurrent(tag)) {
    lastCurrentAt = performance.now()
    await delay(1)
  }
  t.ok(lastCurrentAt <= lastSentAt + maxStaleMs, `${lastCurrentAt - lastSentAt} ms`)
})

t.test('close() leaves no connection and no interval', async (t) => {
  const client = (await startRedis(t)).client()
  const before = await countConnections(client)
  const connections = watchDuplicates(client)
  const { tracking } = track(t, client, 100)
  await tracking.attempted
  t.equal(await countConnections(client), before + 1)
  tracking.close()
  t.notOk(tracking.isCurrent(tag))
  await until(async () => (await countConnections(client)) === before)
  // The time for the next attempt to track has come.
  const { now } = performance
  t.intercept(performance, 'now', { value: () => now.call(performance) + 3_600_000 })
  await delay(200)
  t.equal(connections.length, 1, 'the server is not tracked again')
  t.strictSame([client.listenerCount('close'), client.listenerCount('ready')], [0, 0])
})

t.test('close() during the first connection leaves no connection', async (t) => {
  const redis = await startRedis(t)
  const operator = redis.client()
  await operator.ping()
  const client = redis.client()
  const connections = watchDuplicates(client)
  t.equal(client.status, 'connecting')
  const { tracking } = track(t, client, 100)
  tracking.close()
  await tracking.attempted
  await client.ping()
  t.ok(connections.every(({ status }) => status === 'end'))
  t.strictSame([client.listenerCount('close'), client.listenerCount('ready')], [0, 0])
})

t.test('nothing is current after a lost connection of the store until the server is tracked again', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client({ retryStrategy: () => 10 })
  const { tracking, changes } = track(t, client, 100)
  await tracking.attempted
  client.disconnect(true)
  await until(() => client.status !== 'ready')
  await until(() => changes.includes(null))
  t.notOk(tracking.isCurrent(tag))
  await until(() => tracking.isCurrent(tag))
  await client.set(`fjs:{${tag}}`, 'x', 'PX', 10_000)
  await until(() => changes.includes(tag))
})

t.test('a server is tracked again when the store reconnects later than the tracking', async (t) => {
  const client = (await startRedis(t)).client({ retryStrategy: () => 3_600_000 })
  const connections = watchDuplicates(client)
  const { tracking } = track(t, client, 100)
  await tracking.attempted
  client.disconnect(true)
  await until(() => connections.length === 2 && tracking.isCurrent(tag))
  t.equal(client.status, 'reconnecting')
  await client.connect()
  await until(() => connections.length === 3 && tracking.isCurrent(tag))
  t.equal(client.status, 'ready')
  t.strictSame(
    connections.map(({ status }) => status),
    ['end', 'end', 'ready']
  )
})

t.test('a server that stays down causes one notification, for any number of attempts', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client({ retryStrategy: () => 10_000 })
  const connections = watchDuplicates(client)
  const { tracking, changes } = track(t, client, 100)
  await tracking.attempted
  await redis.kill()
  await until(() => connections.length === 4)
  t.strictSame(changes, [null])
})

t.test('a server that did not respond in time is tried again at once', async (t) => {
  const redis = await startRedis(t)
  const client = redis.client()
  const connections = watchDuplicates(client)
  const { tracking } = track(t, client, 100)
  await tracking.attempted
  redis.stall()
  await until(() => connections.length === 2)
  // The pause of a second is part of the 2 s that the attempt takes: with this clock no other pause ends.
  const now = performance.now() + 1_500
  t.intercept(performance, 'now', { value: () => now })
  await until(() => connections.length === 3)
  redis.resume()
  t.pass('tried again')
})

t.test('the reply of Redis decides what is a refusal, and temporary errors are none', async (t) => {
  const client = (await startRedis(t)).client()
  const refused: Record<string, boolean> = {
    'NOPERM this user has no permissions': true,
    'ERR unknown command': true,
    'ERR max number of clients reached': false,
    'LOADING Redis is loading': false,
    'Connection is closed.': false
  }
  for (const [message, isRefused] of Object.entries(refused)) {
    watchDuplicates(client, (connection) => {
      connection.client = async () => Promise.reject(Object.assign(new Error(message), { name: 'a' }))
    })
    const { tracking, refusals } = track(t, client)
    await tracking.attempted
    t.strictSame(refusals, isRefused ? [message] : [])
    t.notOk(tracking.isCurrent(tag))
    tracking.close()
  }
})

t.test('a store has track() only when the client can track', async (t) => {
  const client = (await startRedis(t)).client()
  const { mget, evalsha, eval: run } = client
  t.equal(typeof createRedisStore(client).track, 'function')
  t.equal(createRedisStore({ mget, evalsha, eval: run }).track, undefined)
})

t.test('a Cluster without known nodes is not current', async (t) => {
  const client = closedAtTeardown(t, new Cluster([{ host: '127.0.0.1', port: 1 }], { lazyConnect: true }))
  const { tracking } = track(t, client)
  await tracking.attempted
  t.notOk(tracking.isCurrent(tag))
  t.strictSame([masterOf(client, tag), tagOnServer(client, '127.0.0.1:1')], ['', ''])
})

t.test('on a Cluster changes of all masters are tracked', async (t) => {
  const cluster = await startCluster(t, { args: ['--cluster-require-full-coverage', 'no'] })
  const tags = [0, 1, 2].map((i) => tagOf(i))
  const [ada = '', bob = '', eve = ''] = tags
  const client = cluster.connect()
  await until(() => client.status === 'ready')
  const keys = cluster.nodes.slice(0, 3).map(({ host, port }) => `${host}:${port}`)
  const baseline = await countConnections(cluster.masters[1].client())
  const { tracking, changes } = track(t, client, 400)
  await tracking.attempted
  await until(() => tags.every((tag) => tracking.isCurrent(tag)))

  t.test('each master of a Cluster has users, and a key for the heartbeat', async (t) => {
    t.strictSame(
      tags.map((tag) => masterOf(client, tag)),
      keys
    )
    for (const key of keys) {
      const found = tagOnServer(client, key)
      t.equal(masterOf(client, found ?? ''), key)
      t.ok(found !== null && found.length < 16)
      t.equal(await client.cluster('KEYSLOT', `fjs:{${found}}beat`), slotOf(found ?? ''))
    }
    t.strictSame(client.nodes('master').map(nodeKeyOf).toSorted(), keys.toSorted())
  })

  t.test('each master of a Cluster notifies of changes', async (t) => {
    for (const tag of tags) await client.set(`fjs:{${tag}}`, 'x', 'PX', 60_000)
    await until(() => tags.every((tag) => changes.includes(tag)))
    t.pass()
  })

  t.test('a slot that moves without the keys drops the sessions of the former master', async (t) => {
    t.ok(tracking.isCurrent(ada))
    const former = cluster.masters[0].client()
    const next = cluster.masters[1].client()
    changes.length = 0
    await next.cluster('SETSLOT', slotOf(ada), 'IMPORTING', await former.cluster('MYID'))
    await next.cluster('SETSLOT', slotOf(ada), 'NODE', await next.cluster('MYID'))
    await until(() => {
      // As the cache does for each request.
      tracking.isCurrent(ada)
      return changes.includes(null)
    })
    await until(() => tracking.isCurrent(ada))
    t.equal(masterOf(client, ada), keys[1])
  })

  t.test('the connections of a master that the client has dropped are closed', async (t) => {
    const removed = cluster.masters[2].client()
    t.ok(await trackers(removed))
    client.nodes = (role) => Cluster.prototype.nodes.call(client, role).filter((node) => nodeKeyOf(node) !== keys[2])
    await until(async () => !(await trackers(removed)))
    t.notOk(tracking.isCurrent(eve))
    t.ok(tracking.isCurrent(bob))
    client.nodes = Cluster.prototype.nodes
    await until(() => tracking.isCurrent(eve))
  })

  t.test('a master that stalls affects only the users on that master', async (t) => {
    cluster.masters[2].stall()
    await until(() => !tracking.isCurrent(eve))
    t.ok(tracking.isCurrent(bob))
    cluster.masters[2].resume()
    await until(() => tags.every((tag) => tracking.isCurrent(tag)))
  })

  t.test('the connections of a master that has become a replica are closed', async (t) => {
    const former = cluster.masters[1].client()
    const count = () => countConnections(former)
    await cluster.replicas[1].client().cluster('FAILOVER')
    await until(async () => (await former.info('replication')).includes('role:slave'))
    client.refreshSlotsCache()
    await until(() => tracking.isCurrent(bob) && masterOf(client, bob) !== keys[1])
    await until(async () => !(await trackers(former)))
    t.ok((await count()) <= baseline + 3, `${await count()} after ${baseline}`)
  })
})

/** Whether the server tracks a connection, or the last command of a connection was a heartbeat. */
async function trackers(client: Redis): Promise<boolean> {
  return / flags=\w*t\w* |cmd=mget/.test(String(await client.client('LIST')))
}

/** The tag of a user whose slot is on the given master at the start. */
function tagOf(i: number): string {
  for (let n = 0; ; n++) {
    const tag = userTag(`user-${n}`)
    if (Math.min(2, Math.floor(slotOf(tag) / 5_461)) === i) return tag
  }
}
