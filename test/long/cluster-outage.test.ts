import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import type { Redis } from 'ioredis'
import t, { type Test } from 'tap'
import { createApp, withToken } from '../fixtures/app.js'
import { createClusterApp, keepVisiting, type Master, usersOn } from '../fixtures/cluster-app.js'
import { startCluster } from '../fixtures/redis/start-cluster.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const args = ['--cluster-require-full-coverage', 'no', '--cluster-replica-no-failover', 'yes']

/** Activity is written once per second. */
const session = { idleTimeoutSeconds: 10 }

t.test('while writes of a Cluster master are paused, sessions are verified and logins are 503 in time', async (t) => {
  const cluster = await startCluster(t, { args })
  const { app, open } = await createClusterApp(t, cluster, { session })
  const tokens = await open([0, 1, 2].flatMap((master) => usersOn(master as Master, 10)))
  const testPause = { app, tokens, operator: cluster.masters[0].client(), user: usersOn(0, 1)[0] ?? '' }
  await assertVerifiedWhilePaused(t, testPause)
})

t.test('while writes of a single server are paused, sessions are verified and logins are 503 in time', async (t) => {
  for (const isOwn of [true, false]) {
    const server = await startRedis(t)
    const redis = isOwn ? { url: server.socketPath } : server.client({ commandTimeout: 1_000 })
    const app = await createApp(t, { upstream, redis, session, storeTimeoutMs: 1_000 })
    const users = Array.from({ length: 20 }, (_, i) => `user-${i}`)
    const opened = await Promise.all(users.map((id) => app.sessions.create({ id })))
    const tokens = opened.map(({ token }) => token)
    await assertVerifiedWhilePaused(t, { app, tokens, operator: server.client(), user: 'ada' })
  }
})

interface Pause {
  app: FastifyInstance
  tokens: string[]
  operator: Redis
  /** A user whose sessions are on the paused server. */
  user: string
}

const PAUSE_MS = 4_000

async function assertVerifiedWhilePaused(t: Test, pause: Pause): Promise<void> {
  const { app, tokens, operator, user } = pause
  const logIn = () => app.inject({ method: 'POST', url: '/user/login', payload: { username: user, password: 'x' } })
  // The next request of each session writes activity.
  await delay(1_100)
  await operator.call('CLIENT', 'PAUSE', String(PAUSE_MS), 'WRITE')
  const pausedAt = performance.now()
  const visits = keepVisiting(app, tokens)
  t.equal((await logIn()).statusCode, 503)
  t.ok(performance.now() - pausedAt < PAUSE_MS - 1_000, 'the login is answered in time')
  await delay(1_000)
  t.ok(performance.now() - pausedAt < PAUSE_MS, 'the pause is not over')
  await until(async () => (await logIn()).statusCode === 200)
  await delay(200)
  t.strictSame(Object.keys(await visits.stop()), ['200'])
}

t.test('the migration of a slot does not affect other users of the master', async (t) => {
  const cluster = await startCluster(t, { args })
  const { app, open } = await createClusterApp(t, cluster)
  const [mover = '', ...others] = usersOn(0, 11)
  const [, moving = ''] = await open([mover, mover])
  const tokens = await open(others)
  const [from, to] = [cluster.masters[0].client(), cluster.masters[1].client()]
  const id = String(JSON.parse(Buffer.from(moving.split('.')[1] ?? '', 'base64url').toString()).jti)
  const head = `fjs:{${id.slice(0, 16)}}`
  const slot = await from.cluster('KEYSLOT', head)
  await to.cluster('SETSLOT', slot, 'IMPORTING', await from.cluster('MYID'))
  await from.cluster('SETSLOT', slot, 'MIGRATING', await to.cluster('MYID'))
  await from.call('MIGRATE', '127.0.0.1', String(cluster.nodes[1]?.port), head + id.slice(16), '0', '5000')

  const ofMover = keepVisiting(app, [moving, moving], { pauseMs: 0 })
  const ofOthers = keepVisiting(app, tokens, { pauseMs: 0 })
  await delay(3_000)
  t.strictSame(Object.keys(await ofMover.stop()), ['503'])
  t.strictSame(Object.keys(await ofOthers.stop()), ['200'])
})

t.test('a master that is down for longer than the idle timeout logs no active user out', async (t) => {
  for (const cache of [false, true]) {
    const cluster = await startCluster(t, { args })
    const { app, open } = await createClusterApp(t, cluster, { cache, session: { idleTimeoutSeconds: 2 } })
    const active = await open([0, 1, 2].flatMap((master) => usersOn(master as Master, 5)))
    const [idle = '', idleOfDead = ''] = await open([usersOn(1, 6).at(-1) ?? '', usersOn(0, 6).at(-1) ?? ''])
    /** Reads the session without extending the session. */
    const reasonOf = async (token: string) =>
      (await app.inject(withToken(token, { url: '/user/session' }))).json().reason
    const visits = keepVisiting(app, active, { pauseMs: 50 })
    await delay(500)
    cluster.masters[0].stall()
    const stalledAt = performance.now()
    await until(async () => (await reasonOf(idle)) === 'expired')
    await until(() => performance.now() - stalledAt > 6_000)
    t.equal(await reasonOf(idleOfDead), undefined)
    cluster.masters[0].resume()
    await until(async () => (await reasonOf(idleOfDead)) === 'expired')
    const statuses = await visits.stop()
    t.strictSame(Object.keys(statuses), ['200', '503'])
    const answers = await Promise.all(active.map((token) => app.inject(withToken(token))))
    t.strictSame(new Set(answers.map(({ statusCode }) => statusCode)), new Set([200]))
  }
})
