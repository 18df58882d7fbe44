import { Cluster } from 'ioredis'
import t, { type Test } from 'tap'
import { checkServers, checkSettings } from '../../../lib/store/redis/check-client.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { closedAtTeardown, startRedis } from '../../fixtures/redis/start-redis.js'
import { captureWarnings } from '../../fixtures/warnings.js'

const GOOD = { enableOfflineQueue: false, maxRetriesPerRequest: 0, commandTimeout: 500, reconnectOnError: () => false }
const GOOD_CLUSTER = {
  slotsRefreshInterval: 1_000,
  maxRedirections: 3,
  retryDelayOnTryAgain: 10,
  enableAutoPipelining: true,
  enableOfflineQueue: false,
  redisOptions: { commandTimeout: 500, maxRetriesPerRequest: 0 }
}
const OF_NODES = GOOD_CLUSTER.redisOptions
const WITHOUT_PIPELINES = { enableAutoPipelining: false, maxRedirections: 16, retryDelayOnTryAgain: 100 }

/** Returns the new warnings with this code at each call. */
function watch(t: Test, code: string) {
  const warnings = captureWarnings(t, code)
  let seen = 0
  return () => {
    const texts = warnings().map(([text]) => String(text))
    const fresh = texts.slice(seen)
    seen = texts.length
    return fresh.join('\n')
  }
}

t.test('unsuitable settings of an injected client for one server or for Sentinel cause a warning', async (t) => {
  const redis = await startRedis(t)
  const newWarnings = watch(t, 'FST_JWT_SESSION_REDIS_SETTINGS')
  const sentinels = [{ host: '127.0.0.1', port: 1 }]
  const wrong: [options: object, pattern: RegExp][] = [
    [{ enableOfflineQueue: true }, /requests: `enableOfflineQueue` is not false[^;]*\. Requests/],
    [{ maxRetriesPerRequest: null }, /requests: `maxRetriesPerRequest` is over 3[^;]*\. Requests/],
    [{ maxRetriesPerRequest: 4 }, /requests: `maxRetriesPerRequest` is over 3[^;]*\. Requests/],
    [{ commandTimeout: undefined }, /requests: `commandTimeout` is not set[^;]*\. Requests/],
    [{ reconnectOnError: null }, /requests: `reconnectOnError` is not set[^;]*\. Requests/],
    [{ sentinels, name: 'main', path: undefined }, /requests: `failoverDetector` is not true[^;]*\. Requests/],
    [{ enableOfflineQueue: true, commandTimeout: undefined }, /`enableOfflineQueue` .*; `commandTimeout` /]
  ]
  for (const [options, pattern] of wrong) {
    const client = redis.client({ ...GOOD, lazyConnect: true, ...options })
    checkSettings(Object.assign(client, { options: { ...client.options, ...options } }))
    t.match(newWarnings(), pattern)
    checkSettings(client)
    t.equal(newWarnings(), '', 'a client is reported once')
  }
  const good: object[] = [{}, { maxRetriesPerRequest: 3 }, { sentinels, name: 'main', failoverDetector: true }]
  for (const options of good) checkSettings(redis.client({ ...GOOD, lazyConnect: true, ...options }))
  checkSettings({ mget: async () => [] })
  t.equal(newWarnings(), '')
})

t.test('unsuitable settings of an injected client for a Cluster cause a warning', async (t) => {
  const newWarnings = watch(t, 'FST_JWT_SESSION_REDIS_SETTINGS')
  const use = (options: object, maxStaleMs?: number) => {
    const client = new Cluster(['redis://127.0.0.1:1'], { lazyConnect: true, ...GOOD_CLUSTER, ...options })
    checkSettings(closedAtTeardown(t, client), maxStaleMs)
    return newWarnings()
  }
  t.match(use({ enableOfflineQueue: true }), /requests: `enableOfflineQueue` is not false[^;]*\. Requests/)
  t.match(use({ redisOptions: { ...OF_NODES, maxRetriesPerRequest: 4 } }), /requests: `maxRetriesPerRequest` is over 3/)
  t.match(use({ redisOptions: { maxRetriesPerRequest: 0 } }), /requests: `commandTimeout` is not set[^;]*\. Requests/)
  t.match(use({ slotsRefreshInterval: 0 }), /requests: `slotsRefreshInterval` is not set[^;]*\. Requests/)
  t.match(
    use({ slotsRefreshInterval: 1_001 }, 1_000),
    /requests: `slotsRefreshInterval` is longer than `cache.maxStaleMs`/
  )
  t.match(use({ maxRedirections: 4 }), /requests: with `enableAutoPipelining`[^;]*\. Requests/)
  t.match(use({ retryDelayOnTryAgain: 11 }), /requests: with `enableAutoPipelining`[^;]*\. Requests/)
  t.match(use({ maxRedirections: undefined, retryDelayOnTryAgain: undefined }), /with `enableAutoPipelining`/)

  t.equal(use({}), '')
  t.equal(use({}, 1_000), '')
  t.equal(use({ slotsRefreshInterval: 60_000 }), '', 'without the cache a long refresh interval is allowed')
  t.equal(use(WITHOUT_PIPELINES), '')
})

t.test('an eviction policy causes a warning with the consequence, if the policy can be read', async (t) => {
  const redis = await startRedis(t)
  const operator = redis.client()
  const newWarnings = watch(t, 'FST_JWT_SESSION_REDIS_EVICTION')
  const check = async (client: object = operator) => {
    await checkServers(client)
    return newWarnings()
  }
  t.equal(await check(), '')
  await operator.config('SET', 'maxmemory-policy', 'allkeys-lfu')
  t.match(await check(), /`maxmemory-policy` is allkeys-lfu, not noeviction\. .*`unknown`.*head/)
  await operator.config('SET', 'maxmemory-policy', 'volatile-ttl')
  t.match(await check(), /`maxmemory-policy` is volatile-ttl, not noeviction, and every key of a session has a TTL\./)
  await operator.call('ACL', 'SETUSER', 'default', '-info')
  t.equal(await check(), '')
  t.equal(await check({ mget: async () => [] }), '', 'a client other than ioredis is not checked')
  const gone = redis.client({ enableOfflineQueue: false })
  gone.disconnect()
  t.equal(await check(gone), '')
})

t.test('a Cluster that allows reads while the Cluster is down causes a warning', async (t) => {
  const { masters, connect } = await startCluster(t)
  const [operator] = masters.map((master) => master.client())
  const newWarnings = watch(t, 'FST_JWT_SESSION_REDIS_CLUSTER')
  const clients = [connect(), connect({ redisOptions: { replyMapping: 'resp3' } as object })]
  const check = async () => {
    await Promise.all(clients.map(checkServers))
    return newWarnings()
  }
  await Promise.all(clients.map((client) => client.mget('key')))
  t.equal(await check(), '')
  await operator?.config('SET', 'cluster-allow-reads-when-down', 'yes')
  t.equal((await check()).match(/`cluster-allow-reads-when-down` is yes/g)?.length, 2)
  await operator?.call('ACL', 'SETUSER', 'default', '-config')
  t.equal(await check(), '', 'without the right to CONFIG there is no warning')
})
