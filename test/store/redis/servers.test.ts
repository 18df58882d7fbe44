import t from 'tap'
import { slotOf } from '../../../lib/store/redis/cluster-slots.js'
import { createServers } from '../../../lib/store/redis/servers.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { until } from '../../fixtures/until.js'

t.test('the share of a master is the number of its slots, and its tag is in one of the slots', async (t) => {
  const cluster = await startCluster(t)
  const client = cluster.connect()
  await until(() => client.status === 'ready' && client.slots.filter(Boolean).length === 16_384)
  const [first, second] = [client.slots[0], client.slots[16_383]]
  // As after a move of most slots of the second master.
  for (let slot = 0; slot < 16_384; slot++) client.slots[slot] = (slot < 16_000 ? first : second) ?? []
  const servers = createServers(client)
  t.strictSame(
    servers.all().map(({ name, share }) => [name, share]),
    [
      [first?.[0], 16_000],
      [second?.[0], 384]
    ]
  )
  for (const { name, tag } of servers.all()) t.equal(client.slots[slotOf(tag)]?.[0], name)
})
