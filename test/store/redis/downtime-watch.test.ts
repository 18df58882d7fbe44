import { setTimeout as delay } from 'node:timers/promises'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createRedisStore } from '../../../lib/index.js'
import { watchDowntime } from '../../../lib/store/redis/downtime-watch.js'
import type { Downtime, DowntimeWatch } from '../../../lib/store/session-store.js'
import { type StartedRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'

const TAG = '0123456789abcdef'
const INTERVAL_MS = 50
const DURATIONS = { intervalMs: INTERVAL_MS, rememberMs: 60_000, timeoutMs: 250 }

/** A downtime watch with a client of its own, like another process. */
function watch(t: Test, client: Redis, durations = DURATIONS): DowntimeWatch {
  const watched = createRedisStore(client).watchDowntime?.(durations)
  if (watched === undefined) throw new Error('The store does not measure downtime')
  t.teardown(() => watched.close())
  return watched
}

const now = () => Date.now()
const replyNow = () => ({ isWritten: true, text: `${now()}`, serverTime: now() })
const totalOf = (periods: readonly Downtime[] | null) =>
  (periods ?? []).reduce((sum, { from, to }) => sum + to - from, 0)

/** A client with the settings of an app. */
const connect = (redis: StartedRedis) =>
  redis.client({ enableOfflineQueue: false, commandTimeout: 200, maxRetriesPerRequest: 0, retryStrategy: () => 20 })

async function untilKnown(watched: DowntimeWatch): Promise<void> {
  await until(() => watched.of(TAG, now()) !== null)
}

t.test('a writable Redis has no downtime, and downtime is unknown before the first heartbeat', async (t) => {
  const redis = await startRedis(t)
  // A busy machine may pause this process for longer than three short intervals.
  const watched = watch(t, redis.client(), { ...DURATIONS, intervalMs: 2_000 })
  t.equal(watched.of(TAG, now()), null)
  await untilKnown(watched)
  t.strictSame(watched.of(TAG, now()), [])
  const key = (await redis.client().keys('*')).find((name) => name.endsWith('beat')) ?? ''
  t.match(key, /^fjs:\{0\}beat$/)
  const ttl = await redis.client().pttl(key)
  t.ok(ttl > 30_000 && ttl <= 60_000, `${ttl}`)
})

interface Way {
  start(redis: StartedRedis, admin: Redis): unknown
  end(redis: StartedRedis, admin: Redis): unknown
  /** Whether the script can run during the fault, so that a process can read the downtime. Default true. */
  canBeRead?: false
}

const WAYS: Record<string, Way> = {
  'is out of memory': {
    start: (_redis, admin) => admin.config('SET', 'maxmemory', '1'),
    end: (_redis, admin) => admin.config('SET', 'maxmemory', '0')
  },
  'is read-only': {
    start: (_redis, admin) => admin.call('REPLICAOF', '127.0.0.1', '1'),
    end: (_redis, admin) => admin.call('REPLICAOF', 'NO', 'ONE')
  },
  'has too few replicas': {
    start: (_redis, admin) => admin.config('SET', 'min-replicas-to-write', '1'),
    end: (_redis, admin) => admin.config('SET', 'min-replicas-to-write', '0')
  },
  'has paused writes': {
    canBeRead: false,
    start: (_redis, admin) => admin.call('CLIENT', 'PAUSE', '60000', 'WRITE'),
    end: (_redis, admin) => admin.call('CLIENT', 'UNPAUSE')
  },
  stalls: { canBeRead: false, start: (redis) => redis.stall(), end: (redis) => redis.resume() }
}

for (const [name, { start, end, canBeRead = true }] of Object.entries(WAYS)) {
  t.test(`downtime is the time in which Redis ${name}, also for processes that start later`, async (t) => {
    const redis = await startRedis(t)
    const admin = redis.client()
    const before = watch(t, connect(redis))
    await untilKnown(before)
    const startedAt = now()
    await start(redis, admin)
    await until(() => (before.of(TAG, now())?.length ?? 0) > 0)
    await delay(500)
    const open = before.of(TAG, now())?.at(-1)
    t.ok(open !== undefined && now() - open.to < 100, 'the open period lasts until now')
    t.ok(totalOf(before.of(TAG, now())) >= 400)
    const during = watch(t, connect(redis))
    await during.attempted
    if (canBeRead) {
      t.ok(totalOf(during.of(TAG, now())) >= 400, 'a process that can read Redis knows the downtime')
    } else t.equal(during.of(TAG, now()), null, 'a process that cannot read Redis does not know the downtime')
    const lastedMs = now() - startedAt
    await end(redis, admin)
    await until(() => (before.of(TAG, now())?.at(-1)?.to ?? 0) < now() - 3 * INTERVAL_MS)
    await untilKnown(during)
    const later = watch(t, connect(redis))
    await untilKnown(later)
    for (const [who, watched] of Object.entries({ before, during, later })) {
      const total = totalOf(watched.of(TAG, now()))
      t.ok(total > lastedMs - 100 && total < lastedMs + 2_000, `${who}: ${total} ms of ${lastedMs}`)
    }
  })
}

t.test('time without any process is downtime', async (t) => {
  const redis = await startRedis(t)
  const first = watch(t, redis.client())
  await untilKnown(first)
  first.close()
  await delay(10 * INTERVAL_MS)
  const next = watch(t, redis.client())
  await untilKnown(next)
  t.ok(totalOf(next.of(TAG, now())) >= 7 * INTERVAL_MS)
})

t.test('a process that could not write reports the downtime to other processes later', async (t) => {
  const redis = await startRedis(t)
  const admin = redis.client()
  await admin.call('ACL', 'SETUSER', 'app', 'on', '>pw', '~*', '+@all')
  const healthy = watch(t, redis.client())
  const cut = watch(t, redis.client({ username: 'app', password: 'pw' }))
  await untilKnown(cut)
  await untilKnown(healthy)
  await admin.call('ACL', 'SETUSER', 'app', '-@write')
  // A pause of the machine is a downtime for both processes.
  await until(() => totalOf(cut.of(TAG, now())) > totalOf(healthy.of(TAG, now())) + 300)
  const cutMs = totalOf(cut.of(TAG, now()))
  await admin.call('ACL', 'SETUSER', 'app', '+@all')
  await until(() => totalOf(healthy.of(TAG, now())) >= cutMs)
})

t.test('adjoining periods are merged, and the oldest of too many periods are merged', async (t) => {
  const redis = await startRedis(t)
  const admin = redis.client()
  const at = now()
  const old = Array.from({ length: 100 }, (_, i) => `${at - 50_000 + i * 100}-${at - 50_000 + i * 100 + 10}`)
  await admin.set('fjs:{0}beat', `${at} ${old.join(' ')}`, 'PX', 60_000)
  const watched = watch(t, redis.client())
  await untilKnown(watched)
  const periods = watched.of(TAG, now()) ?? []
  t.equal(periods.length, 64)
  t.ok(Math.abs((periods[0]?.from ?? 0) - (at - 50_000)) < 1_000)
  for (const [i, { from, to }] of periods.entries()) {
    t.ok(from < to && to < (periods[i + 1]?.from ?? Number.POSITIVE_INFINITY))
  }
})

t.test('periods older than the longest life of a session are dropped', async (t) => {
  const redis = await startRedis(t)
  const at = now()
  await redis
    .client()
    .set('fjs:{0}beat', `${at} ${at - 90_000}-${at - 80_000} ${at - 20_000}-${at - 10_000}`, 'PX', 5_000)
  const watched = watch(t, redis.client())
  await untilKnown(watched)
  t.equal(watched.of(TAG, now())?.length, 1)
})

t.test('each server has a downtime of its own', async (t) => {
  const failing = new Set<string>()
  const servers = {
    serverOf: (tag: string) => tag,
    all: () => ['a', 'b'].map((name) => ({ name, tag: name, share: 1 }))
  }
  const beat = async ({ name }: { name: string }) => {
    if (failing.has(name)) throw new Error('down')
    return replyNow()
  }
  const watched = watchDowntime({ ...DURATIONS, servers, beat })
  t.teardown(() => watched.close())
  await watched.attempted
  failing.add('a')
  await until(() => totalOf(watched.of('a', now())) > 100)
  t.strictSame(watched.of('b', now()), [])
  t.equal(watched.of('c', now()), null, 'the downtime of a server that the client does not know is unknown')
})

t.test('downtime starts with the first heartbeat if the server refuses this write', async (t) => {
  const servers = { serverOf: () => 'a', all: () => [{ name: 'a', tag: 'a', share: 1 }] }
  const beat = async () => ({ isWritten: false, text: '', serverTime: now() })
  const watched = watchDowntime({ ...DURATIONS, servers, beat })
  t.teardown(() => watched.close())
  await watched.attempted
  const total = totalOf(watched.of('x', now()))
  t.ok(total < 10_000, `${total} ms`)
})

t.test('the downtime of a server that has left the Cluster is dropped', async (t) => {
  let names = ['a', 'b']
  const servers = { serverOf: (tag: string) => tag, all: () => names.map((name) => ({ name, tag: name, share: 1 })) }
  const watched = watchDowntime({ ...DURATIONS, servers, beat: async () => replyNow() })
  t.teardown(() => watched.close())
  await watched.attempted
  t.strictSame([watched.of('a', now()), watched.of('b', now())], [[], []])
  names = ['a']
  await until(() => watched.of('b', now()) === null)
})

t.test('an open period is merged with a period that ended just before', async (t) => {
  let isDown = false
  const servers = { serverOf: () => 'a', all: () => [{ name: 'a', tag: 'a', share: 1 }] }
  const beat = async () => {
    if (isDown) throw new Error('down')
    return { isWritten: true, text: `${now()} ${now() - 5_000}-${now()}`, serverTime: now() }
  }
  const watched = watchDowntime({ ...DURATIONS, servers, beat })
  t.teardown(() => watched.close())
  await watched.attempted
  const lastBeatAt = now()
  isDown = true
  await until(() => (watched.of('x', now())?.[0]?.to ?? 0) > lastBeatAt + 2 * INTERVAL_MS)
  const periods = watched.of('x', now()) ?? []
  t.equal(periods.length, 1)
  t.ok(totalOf(periods) > 5_000, `${totalOf(periods)} ms, the earlier period included`)
})

t.test('downtime is unknown in a suspended process until the next heartbeat', async (t) => {
  let hangs = false
  const servers = { serverOf: () => 'a', all: () => [{ name: 'a', tag: 'a', share: 1 }] }
  const beat = () => (hangs ? new Promise<never>(() => {}) : Promise.resolve(replyNow()))
  const watched = watchDowntime({ ...DURATIONS, timeoutMs: 10_000, servers, beat })
  t.teardown(() => watched.close())
  await watched.attempted
  t.strictSame(watched.of('x', now()), [])
  hangs = true
  const { now: clock } = performance
  t.intercept(performance, 'now', { value: () => clock.call(performance) + 60_000 })
  t.equal(watched.of('x', now()), null)
})

t.test('no heartbeat is written after close()', async (t) => {
  const redis = await startRedis(t)
  const admin = redis.client()
  const watched = watch(t, redis.client())
  await untilKnown(watched)
  watched.close()
  await delay(2 * INTERVAL_MS)
  const text = await admin.get('fjs:{0}beat')
  await delay(4 * INTERVAL_MS)
  t.equal(await admin.get('fjs:{0}beat'), text)
})

t.test('a server that has not replied yet gets no second heartbeat before the timeout', async (t) => {
  let sent = 0
  const servers = { serverOf: () => 'a', all: () => [{ name: 'a', tag: 'a', share: 1 }] }
  const beat = () => {
    sent++
    return new Promise<never>(() => {})
  }
  const watched = watchDowntime({ ...DURATIONS, timeoutMs: 10_000, servers, beat })
  t.teardown(() => watched.close())
  await delay(5 * INTERVAL_MS)
  t.equal(sent, 1)
})
