import t from 'tap'
import { createApp, withToken } from '../../fixtures/app.js'
import { CLIENT, createClusterApp, keepVisiting, usersOn } from '../../fixtures/cluster-app.js'
import { cutConnections } from '../../fixtures/redis/own-client.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { upstream } from '../../fixtures/tokens.js'
import { until } from '../../fixtures/until.js'

/** No replica replaces a failed master, and the other masters keep serving. */
const args = ['--cluster-require-full-coverage', 'no', '--cluster-replica-no-failover', 'yes']

t.test('an app is ready while most users can be served, and logs once which master is down', async (t) => {
  const cluster = await startCluster(t, { args })
  const { app, logged } = await createClusterApp(t, cluster)
  t.ok(await app.sessions.isReady())
  const missing = (level: number) => logged(level).filter((text) => / is not ready| is ready again/.test(text))
  const nameOf = (i: number) => `127.0.0.1:${cluster.nodes[i]?.port}`

  await cluster.masters[0].kill()
  for (let i = 0; i < 3; i++) t.ok(await app.sessions.isReady())
  t.strictSame(missing(50), [`The session store at ${nameOf(0)} is not ready`])

  const redis = cluster.connect(CLIENT)
  const late = await createApp(t, { upstream, redis, requireStoreAtStart: true })
  const [user = ''] = usersOn(1, 1)
  const { token } = await late.sessions.create({ id: user })
  t.equal((await late.inject(withToken(token))).statusCode, 200)

  cluster.masters[1].stall()
  t.notOk(await app.sessions.isReady())
  t.strictSame(missing(50).slice(1), [`The session store at ${nameOf(1)} is not ready`])
  cluster.masters[1].resume()
  await until(() => app.sessions.isReady())
  t.strictSame(missing(30), [`The session store at ${nameOf(1)} is ready again`])
})

t.test('requests that only read survive cut connections to a master', async (t) => {
  const cluster = await startCluster(t, { args })
  const { app, open } = await createClusterApp(t, cluster, { storeTimeoutMs: 10_000 })
  const operator = cluster.masters[0].client()
  const tokens = await open(usersOn(0, 10))
  const ofOthers = keepVisiting(app, await open([...usersOn(1, 5), ...usersOn(2, 5)]), { pauseMs: 0 })
  for (let i = 0; i < 5; i++) {
    // A request is sent again once: no request may meet two cuts.
    const ofCut = keepVisiting(app, tokens, { pauseMs: 0 })
    const served = () => ofCut.statuses[200] ?? 0
    await until(() => served() > 20)
    await cutConnections(operator)
    const servedBefore = served()
    await until(() => served() > servedBefore + 50)
    t.strictSame(Object.keys(await ofCut.stop()), ['200'])
  }
  t.strictSame(Object.keys(await ofOthers.stop()), ['200'])
})
