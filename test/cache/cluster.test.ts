import t from 'tap'
import { createApp, withToken } from '../fixtures/app.js'
import { startCluster } from '../fixtures/redis/start-cluster.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const cluster = await startCluster(t)
const masters = cluster.masters.map((master) => master.client())
const MAX_STALE_MS = 400

/** An app with the cache, an app without the cache, and sessions of many users on all masters. */
const redis = cluster.connect({
  slotsRefreshInterval: 200,
  retryDelayOnFailover: 20,
  redisOptions: { commandTimeout: 200 }
})
const cached = await createApp(t, { upstream, redis, cache: { maxStaleMs: MAX_STALE_MS } })
// The timeout is long enough for the first connections on a busy machine.
const other = await createApp(t, { upstream, redis: cluster.connect(), cache: false, storeTimeoutMs: 10_000 })
const users = Array.from({ length: 30 }, (_, i) => `user-${i}`)
const openAll = () => Promise.all(users.map((id) => other.sessions.create({ id })))

async function visit(token: string): Promise<number> {
  return (await cached.inject(withToken(token))).statusCode
}

/** Reads of sessions per master during the work. */
async function readsDuring(work: () => Promise<unknown>): Promise<number[]> {
  const count = async () => {
    const stats = await Promise.all(masters.map((master) => master.info('commandstats')))
    return stats.map((text) => Number(/cmdstat_mget:calls=(\d+)/.exec(text)?.[1] ?? 0))
  }
  const before = await count()
  await work()
  return (await count()).map((reads, i) => reads - (before[i] ?? 0))
}

async function untilCached(tokens: string[]): Promise<void> {
  await until(async () => {
    const statuses = new Set<number>()
    const reads = await readsDuring(async () => {
      for (const token of tokens) statuses.add(await visit(token))
    })
    // A busy machine needs longer than the short timeout of a command for some replies.
    return statuses.size === 1 && statuses.has(200) && reads.every((count) => count === 0)
  })
}

t.test('in a Redis Cluster each master notifies of changes', async (t) => {
  const sessions = await openAll()
  const tokens = sessions.map(({ token }) => token)
  const reads = await readsDuring(() => untilCached(tokens))
  for (const [i, count] of reads.entries()) t.ok(count > 0, `master ${i} has sessions`)
  for (const { session } of sessions) await other.sessions.revoke(session.id)
  await until(async () => (await Promise.all(tokens.map(visit))).every((status) => status === 401))
})

t.test('when a master fails an ended session is accepted for maxStaleMs at most', async (t) => {
  const sessions = await openAll()
  const tokens = sessions.map(({ token }) => token)
  await untilCached(tokens)
  await Promise.all(masters.map((master) => master.wait(1, 5_000)))
  await cluster.masters[0].kill()
  masters.splice(0, 1, cluster.replicas[0].client())

  const tried = new Set<string>()
  const ended = new Map<string, number>()
  await until(async () => {
    const beganAt = performance.now()
    for (const { token, session } of sessions) {
      const startedAt = performance.now()
      const status = await visit(token)
      const endedAt = ended.get(token)
      if (endedAt === undefined) {
        // A revocation without an acknowledgement may have taken effect.
        t.ok([200, 503].includes(status) || (status === 401 && tried.has(token)), 'an outage ends no session')
        tried.add(token)
        if (await revoke(session.id)) ended.set(token, performance.now())
      } else if (startedAt - endedAt > MAX_STALE_MS) t.not(status, 200)
    }
    return ended.size === sessions.length && [...ended.values()].every((endedAt) => beganAt - endedAt > MAX_STALE_MS)
  })
  await untilCached([(await other.sessions.create({ id: 'ada' })).token])
})

async function revoke(id: string): Promise<boolean> {
  return other.sessions.revoke(id).then(
    () => true,
    () => false
  )
}
