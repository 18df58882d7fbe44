import t from 'tap'
import { duplicateClient } from '../../../lib/store/redis/duplicate-client.js'
import { openClient } from '../../fixtures/redis/own-client.js'
import { startSentinel } from '../../fixtures/redis/start-sentinel.js'
import { until } from '../../fixtures/until.js'

t.test('a client that is disconnected during the lookup of the master connects again', async (t) => {
  const { sentinels, name } = await startSentinel(t)
  const { client } = await openClient(t, { sentinels, name })
  const writer = duplicateClient(client, 1_000)
  t.teardown(() => writer.disconnect())
  for (const each of [client, writer]) {
    await until(() => each.status === 'ready')
    let hasEnded = false
    each.on('end', () => {
      hasEnded = true
    })
    const interrupt = () => {
      each.off('connecting', interrupt)
      // The failover detector makes the same call.
      each.disconnect(true)
    }
    each.on('connecting', interrupt)
    each.disconnect(true)
    await until(() => hasEnded)
    await until(() => each.status === 'ready')
  }
  writer.disconnect()
  await until(() => writer.status === 'end')
  await new Promise((resolve) => setTimeout(resolve, 600))
  t.equal(writer.status, 'end', 'a closed client stays closed')
})
