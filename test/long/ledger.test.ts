import t from 'tap'
import { runGracefulRestarts } from './ledger/graceful-restarts.js'
import { runKilledRedis } from './ledger/killed-redis.js'

t.test('every acknowledged login survives restarts of the app under load, and a shutdown of Redis', async (t) => {
  const { lost } = await runGracefulRestarts(t, 300, 1)
  t.equal(lost, 0)
})

t.test('no acknowledged logout is undone when Redis is killed, with appendfsync always', async (t) => {
  const killed = await runKilledRedis(t, 200, 'always')
  t.match(killed, { acknowledged: 200, cameBack: 0, lost: 0 })
  t.ok(killed.acknowledgedBefore > 0 && killed.acknowledgedBefore < 200, 'the kill came during the logouts')
})
