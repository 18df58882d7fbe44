import { setTimeout as delay } from 'node:timers/promises'
import { Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import { SessionCache } from '../../lib/cache/session-cache.js'
import { userTag } from '../../lib/model/session-id.js'
import { trackRedis } from '../../lib/store/redis/change-tracking.js'
import { nodeKeyOf, slotOf } from '../../lib/store/redis/cluster-slots.js'
import { KEY_START } from '../../lib/store/redis/redis-store.js'
import { type StartedCluster, startCluster } from '../fixtures/redis/start-cluster.js'
import { until } from '../fixtures/until.js'

const MAX_STALE_MS = 400

/** The tag of a user whose slot is on the given master at the start. */
function tagOnMaster(i: 0 | 1 | 2): string {
  for (let n = 0; ; n++) {
    const tag = userTag(`user-${n}`)
    if (Math.min(2, Math.floor(slotOf(tag) / 5_461)) === i) return tag
  }
}

/** A cache over a client that refreshes the slots only after a MOVED reply. */
async function createCachedReader(t: Test, cluster: StartedCluster) {
  const redis = cluster.connect()
  await until(() => redis.status === 'ready')
  const cache = new SessionCache<string | null>(100, (tag) => tracking.isCurrent(tag))
  const forgotten: (string | null)[] = []
  const onChange = (tag: string | null) => {
    forgotten.push(tag)
    cache.forget(tag)
  }
  const tracking = trackRedis(redis, KEY_START, { maxStaleMs: MAX_STALE_MS, onChange, onRefused: t.fail })
  t.teardown(() => tracking.close())
  await tracking.attempted
  return {
    redis,
    tracking,
    forgotten,
    /** The cached session, or else the session in Redis, as for a request. */
    read: async (tag: string) =>
      cache.get(tag) ?? cache.load(tag, tag, () => redis.get(keyOf(tag))).catch(() => 'unavailable'),
    isCached: (tag: string) => cache.get(tag) !== undefined
  }
}

const keyOf = (tag: string) => `${KEY_START}${tag}}`

t.test('a master that is cut off from its peers keeps ended sessions alive for maxStaleMs at most', async (t) => {
  const cluster = await startCluster(t, { isSeverable: true, args: ['--cluster-require-full-coverage', 'no'] })
  const tag = tagOnMaster(0)
  const other = tagOnMaster(1)
  const { redis, read, isCached, tracking } = await createCachedReader(t, cluster)
  for (const user of [tag, other]) {
    await redis.set(keyOf(user), 'live')
    await until(async () => (await read(user)) === 'live' && isCached(user))
  }
  await redis
    .nodes('master')
    .find((node) => nodeKeyOf(node).endsWith(`:${cluster.nodes[0]?.port}`))
    ?.wait(1, 5_000)
  // The replies to the heartbeat must be enough.
  let isRefreshed = false
  redis.refreshSlotsCache = () => {
    // The client refreshes by itself too.
    isRefreshed ||= new Error().stack?.includes('tracking-connection') === true
  }
  await cluster.cutOffFirstMaster()

  let endedAt = Number.POSITIVE_INFINITY
  let areOthersCurrent = true
  let isWatching = true
  let lastAcceptedAt = 0
  async function watch(): Promise<void> {
    while (isWatching) {
      const startedAt = performance.now()
      if (isCached(tag)) lastAcceptedAt = startedAt
      await delay(1)
    }
  }
  const watching = watch()
  const successor = cluster.replicas[0].client()
  await until(async () => {
    areOthersCurrent &&= tracking.isCurrent(other)
    return successor.set(keyOf(tag), 'ended').then(
      () => true,
      () => false
    )
  })
  endedAt = performance.now()
  await until(() => performance.now() > endedAt + 3 * MAX_STALE_MS)
  isWatching = false
  redis.refreshSlotsCache = Cluster.prototype.refreshSlotsCache
  await watching
  t.ok(areOthersCurrent, 'the users of the other masters are not affected')
  t.ok(lastAcceptedAt < endedAt + MAX_STALE_MS, `accepted for ${lastAcceptedAt - endedAt} ms`)
  t.ok(isRefreshed, 'a heartbeat without the slot makes the client refresh its slots')
  await until(async () => (await read(tag)) === 'ended' && isCached(tag))
})
