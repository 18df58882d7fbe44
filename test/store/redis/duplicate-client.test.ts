import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import type { RedisCluster } from '../../../lib/store/redis/client.js'
import { duplicateClient } from '../../../lib/store/redis/duplicate-client.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { until } from '../../fixtures/until.js'

const INTERVAL_MS = 50

t.test('a duplicate of a Cluster client refreshes the slots until disconnect()', async (t) => {
  const { connect } = await startCluster(t)
  const client = connect({ slotsRefreshInterval: INTERVAL_MS })
  const connection = duplicateClient(client, 1_000) as RedisCluster
  t.teardown(() => connection.disconnect())
  const untilReady = () => until(() => connection.status === 'ready')
  await untilReady()
  const refresh = connection.refreshSlotsCache.bind(connection)
  let refreshes = 0
  connection.refreshSlotsCache = (callback) => {
    refreshes++
    refresh(callback)
  }
  await until(() => refreshes >= 3)
  connection.disconnect(true)
  await untilReady()
  refreshes = 0
  await until(() => refreshes >= 3)
  connection.disconnect()
  await until(() => connection.nodes('master').length === 0)
  refreshes = 0
  await delay(4 * INTERVAL_MS)
  t.equal(refreshes, 0)
  t.strictSame(connection.nodes('master'), [], 'the connection stays closed')
})

t.test('a duplicate of a Cluster client reconnects, even if the retry strategy of the client gives up', async (t) => {
  const { connect } = await startCluster(t)
  const connection = duplicateClient(connect({ clusterRetryStrategy: () => null }), 1_000)
  t.teardown(() => connection.disconnect())
  let readies = 0
  connection.on('ready', () => readies++)
  await until(() => readies === 1)
  connection.disconnect(true)
  await until(() => readies === 2)
})
