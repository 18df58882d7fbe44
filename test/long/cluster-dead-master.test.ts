import { setTimeout as delay } from 'node:timers/promises'
import t, { type Test } from 'tap'
import { createClusterApp, keepVisiting, usersOn } from '../fixtures/cluster-app.js'
import { type ClusterClientOptions, type StartedCluster, startCluster } from '../fixtures/redis/start-cluster.js'
import { startTcpProxy } from '../fixtures/redis/start-proxy.js'
import { until } from '../fixtures/until.js'

/** No replica takes over for a lost master, and the other masters keep serving. */
const args = ['--cluster-require-full-coverage', 'no', '--cluster-replica-no-failover', 'yes']
const OUTAGE_MS = 4_000

/** How the first master is lost, and settings of the client. */
interface Loss {
  client?: ClusterClientOptions
  lose(): unknown
}

const LOSSES: Record<string, (t: Test, cluster: StartedCluster) => Promise<Loss>> = {
  'is dead': async (_t, cluster) => ({ lose: () => cluster.masters[0].kill() }),
  hangs: async (_t, cluster) => ({ lose: () => cluster.masters[0].stall() }),
  'is out of reach of this process only': async (t, cluster) => {
    const proxy = await startTcpProxy(t, cluster.masters[0])
    const natMap = { [`127.0.0.1:${cluster.nodes[0]?.port}`]: { host: '127.0.0.1', port: proxy.port } }
    return { client: { natMap }, lose: () => proxy.swallow() }
  }
}

for (const [how, prepare] of Object.entries(LOSSES)) {
  for (const cache of [false, true]) {
    t.test(
      `a master that ${how} affects only users of the master, ${cache ? 'with' : 'without'} the cache`,
      async (t) => {
        const cluster = await startCluster(t, { args })
        const { client, lose } = await prepare(t, cluster)
        const { app, logged, open } = await createClusterApp(t, cluster, { cache }, client)
        const opened = () => logged(50).filter((text) => text.includes('503 at once'))
        const ofDead = await open(usersOn(0, 10))
        const ofOthers = await open([...usersOn(1, 5), ...usersOn(2, 5)])
        const atLoss = keepVisiting(app, ofOthers)
        await lose()
        const dead = keepVisiting(app, ofDead, { pauseMs: 1_000 })
        await delay(200)
        t.strictSame(Object.keys(await atLoss.stop()), ['200'])
        // Requests of other users must not keep the circuit closed.
        await until(() => opened().length > 0)
        const others = keepVisiting(app, ofOthers.slice(3, 7), { pauseMs: 100 })
        await Promise.all(usersOn(1, 5).map((id) => app.sessions.create({ id })))
        await delay(OUTAGE_MS)
        t.strictSame(Object.keys(await others.stop()), ['200'])
        const statuses = Object.keys(await dead.stop())
        // The cache answers 200 for `maxStaleMs`.
        t.strictSame(
          statuses.filter((status) => !cache || status !== '200'),
          ['503']
        )
        t.equal(opened().length, 1, opened().join())
      }
    )
  }
}

t.test('the end of an abandoned login does not wait for the ends at a dead master', async (t) => {
  const cluster = await startCluster(t, { args })
  const breaker = { store: { failures: 1_000 } }
  const { app } = await createClusterApp(t, cluster, { breaker })
  const paused = cluster.masters[1].client()
  const login = (id: string) =>
    app.sessions.create({ id }).then(
      () => t.fail('opened'),
      () => {}
    )
  cluster.masters[0].stall()
  await Promise.all(usersOn(0, 400).map(login))
  await paused.call('CLIENT', 'PAUSE', '1500', 'WRITE')
  await Promise.all(usersOn(1, 2).map(login))
  const readEnded = async () => {
    const keys = (await paused.keys('fjs:*')).filter((key) => !key.endsWith('beat'))
    const values = await Promise.all(keys.map((key) => paused.get(key)))
    return values.filter((value) => value === 'revoked').length
  }
  // Tombstones of abandoned sessions.
  await until(async () => (await readEnded()) === 2)
  await login(usersOn(0, 1)[0] ?? '')
  t.pass('the dead master is still dead')
})
