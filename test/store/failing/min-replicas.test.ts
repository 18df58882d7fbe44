import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, FastifyServerOptions } from 'fastify'
import t, { type Test } from 'tap'
import { createRedisStore, type JwtSessionOptions } from '../../../lib/index.js'
import { createBreaker } from '../../../lib/internal/circuit-breaker.js'
import { createSessionId } from '../../../lib/model/session-id.js'
import { RedisStore } from '../../../lib/store/redis/redis-store.js'
import { openReplicaAcks } from '../../../lib/store/redis/replica-acks.js'
import { WAIT_FOLLOWS } from '../../../lib/store/redis/script-call.js'
import type { FoundRecord } from '../../../lib/store/session-store.js'
import { createApp, logIn, logout, withToken } from '../../fixtures/app.js'
import { createLog } from '../../fixtures/log.js'
import { startCluster } from '../../fixtures/redis/start-cluster.js'
import { type StartedRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { untilReplicated } from '../../fixtures/redis/until-replicated.js'
import { upstream } from '../../fixtures/tokens.js'
import { until } from '../../fixtures/until.js'
import { startUpstream } from '../../fixtures/upstream.js'

const NO_REPLICAS = { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', statusCode: 503, cause: { code: 'NOREPLICAS' } }

interface Pair {
  master: StartedRedis
  replica: StartedRedis
  /** An app that waits for the replica. */
  start(options?: Partial<JwtSessionOptions>, server?: FastifyServerOptions): Promise<FastifyInstance>
  /** The session that the replica has stored under this id. */
  onReplica(id: string): Promise<FoundRecord | null>
}

async function startPair(t: Test): Promise<Pair> {
  const master = await startRedis(t, { tcp: true, args: ['--repl-diskless-sync', 'no'] })
  const { port } = new URL(master.url ?? '')
  const replica = await startRedis(t, { args: ['--replicaof', '127.0.0.1', port] })
  await untilReplicated(master.client(), replica.client())
  const copy = createRedisStore(replica.client())
  return {
    master,
    replica,
    start: (options, server) =>
      createApp(
        t,
        { upstream, redis: { url: master.socketPath }, minReplicas: 1, storeTimeoutMs: 3_000, ...options },
        server
      ),
    onReplica: (id) => copy.find(id)
  }
}

async function isPending(promise: Promise<unknown>): Promise<boolean> {
  return (await Promise.race([promise, 'pending'])) === 'pending'
}

t.test('the end of a session is acknowledged only after the replica has stored the end', async (t) => {
  const { replica, start, onReplica } = await startPair(t)
  const { baseUrl } = await startUpstream(t)
  const app = await start({ upstream: { baseUrl }, storeTimeoutMs: 10_000, routes: { sessions: {} } })
  const del = { url: '/user/sessions', method: 'DELETE' } as const

  const endings: Record<string, (token: string, id: string) => Promise<unknown>> = {
    logged_out: (token) => app.inject(logout(token)),
    'revoked, with revoke()': (_token, id) => app.sessions.revoke(id),
    'revoked, with revokeAll()': () => app.sessions.revokeAll('ada'),
    'revoked, with DELETE of the session': async (_token, id) =>
      app.inject(withToken(await logIn(app), { ...del, url: `${del.url}/${id}` })),
    'revoked, with DELETE of all other sessions': async () => app.inject(withToken(await logIn(app), del))
  }
  for (const [reason, end] of Object.entries(endings)) {
    const token = await logIn(app)
    const { id } = (await app.inject(withToken(token))).json()
    replica.stall()
    const ending = end(token, id)
    await until(async () => (await app.sessions.find(id)) === null)
    t.ok(await isPending(ending), `${reason}: the session has ended, without an acknowledgement so far`)
    replica.resume()
    await ending
    t.strictSame(await onReplica(id), { ended: reason.split(',')[0] })
  }
})

t.test('a login does not wait for the replica: the replaced session ends in the same step', async (t) => {
  const { replica, start, onReplica } = await startPair(t)
  const { baseUrl } = await startUpstream(t)
  const app = await start({ upstream: { baseUrl }, storeTimeoutMs: 10_000 })
  const token = await logIn(app)
  const { id } = (await app.inject(withToken(token))).json()
  replica.stall()
  const next = await logIn(app, 'ada', { authorization: `Bearer ${token}` })
  t.equal((await app.inject(withToken(next))).statusCode, 200)
  t.equal((await app.inject(withToken(token))).json().reason, 'logged_in_again')
  replica.resume()
  await until(async () => {
    const found = await onReplica(id)
    return found !== null && 'ended' in found && found.ended === 'logged_in_again'
  })
})

t.test('minReplicas: 2 needs two replicas', async (t) => {
  const { master, start, onReplica } = await startPair(t)
  const app = await start({ minReplicas: 2 })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  await t.rejects(app.sessions.revoke(session.id), NO_REPLICAS)
  t.strictSame(await onReplica(session.id), { ended: 'revoked' }, 'the only replica has stored the end')
  t.equal((await app.inject(logout(token))).statusCode, 503)
  await t.rejects(app.sessions.revokeAll('ada'), NO_REPLICAS)
  const { port } = new URL(master.url ?? '')
  await startRedis(t, { args: ['--replicaof', '127.0.0.1', port] })
  await until(async () => (await app.inject(logout(token))).statusCode === 204)
})

t.test('abandoned logins are undone within seconds while the replica is down', async (t) => {
  const { master, replica, start } = await startPair(t)
  const app = await start({ session: { maxPerUser: 1_000 }, breaker: { store: { failures: 1_000 } } })
  const { session } = await app.sessions.create({ id: 'ada' })
  replica.stall()
  // At most one call waits for the replica: a wait for each session would take minutes.
  await t.rejects(app.sessions.revoke(session.id), NO_REPLICAS)
  master.stall()
  const opening = Array.from({ length: 200 }, () => app.sessions.create({ id: 'ada' }))
  const outcomes = await Promise.allSettled(opening)
  t.strictSame([...new Set(outcomes.map(({ status }) => status))], ['rejected'])
  master.resume()
  const admin = master.client()
  const countEnded = async () => {
    const keys = await admin.keys(`fjs:{${session.id.slice(0, 16)}}?*`)
    const values = await Promise.all(keys.map((key) => admin.get(key).catch(() => null)))
    return values.filter((value) => value === 'revoked').length
  }
  await until(async () => (await countEnded()) === 201)
  t.strictSame(await app.sessions.list('ada'), [])
})

t.test('without enough replicas a logout is a 503 in time, although the session has ended', async (t) => {
  const { master, replica, start } = await startPair(t)
  const app = await start()
  const [{ token }, { session }] = [await app.sessions.create({ id: 'ada' }), await app.sessions.create({ id: 'ada' })]
  replica.stall()
  // The error of Redis comes before the deadline of the store.
  await t.rejects(app.sessions.revoke(createSessionId('ada')), NO_REPLICAS)
  const refused = await app.inject(logout(token))
  t.equal(refused.statusCode, 503)
  t.equal(refused.json().code, 'FST_JWT_SESSION_STORE_UNAVAILABLE')
  t.equal(refused.headers['session-ended'], undefined)
  t.equal((await app.inject(withToken(token))).json().reason, 'logged_out')
  await t.rejects(app.sessions.revokeAll('ada'), NO_REPLICAS)
  t.equal(await app.sessions.find(session.id), null)

  await t.test(
    'without enough replicas a second logout on the same or another instance is not acknowledged either',
    async (t) => {
      const other = await start()
      for (const instance of [app, other]) t.equal((await instance.inject(logout(token))).statusCode, 503)
      await t.rejects(other.sessions.revoke(session.id), NO_REPLICAS)
    }
  )

  await t.test('ending ended sessions writes a key for WAIT to wait for', async (t) => {
    // WAIT covers the writes of the same connection. In Redis 7.0 WAIT covers all writes, which is no guarantee.
    const countTouches = async () =>
      Number(/cmdstat_rpush:calls=(\d+)/.exec(await master.client().info('commandstats'))?.[1] ?? 0)
    for (const end of [() => app.sessions.revoke(session.id), () => app.sessions.revokeAll('ada')]) {
      const before = await countTouches()
      await until(async () => {
        await t.rejects(end(), NO_REPLICAS)
        return (await countTouches()) > before
      })
    }
  })

  replica.resume()
  await until(async () => (await app.inject(logout(token))).statusCode === 204)
  t.strictSame(await master.client().keys('*}l'), [], 'the key for WAIT is gone')
})

t.test('while the replica is down one call at a time waits, and no other request is delayed', async (t) => {
  const { master, replica, start } = await startPair(t)
  const admin = master.client()
  const countWaits = async () => Number(/cmdstat_wait:calls=(\d+)/.exec(await admin.info('commandstats'))?.[1] ?? 0)
  const { lines, logger } = createLog()
  const app = await start({}, { logger })
  const countLines = (text: string) => lines.filter((line) => line.includes(text)).length
  const sessions = await Promise.all(Array.from({ length: 101 }, (_, i) => app.sessions.create({ id: `user-${i}` })))
  const [{ session: first }, ...others] = sessions as [(typeof sessions)[0], ...typeof sessions]

  replica.stall()
  await t.rejects(app.sessions.revoke(first.id), NO_REPLICAS)
  const waitedBefore = await countWaits()
  const refusals = await Promise.allSettled(others.map(({ session }) => app.sessions.revoke(session.id)))
  t.ok((await countWaits()) - waitedBefore < 10, 'all but one call in a quarter of a second were rejected at once')
  for (const refusal of refusals) t.match(refusal, { status: 'rejected', reason: NO_REPLICAS })
  for (const { token } of others)
    t.equal((await app.inject(withToken(token))).statusCode, 401, 'each session has ended')
  t.equal(countLines('The replica of the session store does not respond'), 1)
  t.equal(countLines('The session store does not respond'), 0)

  // The next call is a probe, which waits.
  await delay(300)
  const ending = t.rejects(app.sessions.revoke(first.id), NO_REPLICAS)
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  await ending

  replica.resume()
  await until(async () => (await app.inject(logout(token))).statusCode === 204)
  t.equal(countLines('The replica of the session store responds again'), 1)
})

t.test('a master that has forgotten the script gets the script again', async (t) => {
  const { master, start, onReplica } = await startPair(t)
  const app = await start()
  const { session } = await app.sessions.create({ id: 'ada' })
  await app.sessions.revokeAll('grace')
  await master.client().script('FLUSH')
  await app.sessions.revokeAll('ada')
  t.strictSame(await onReplica(session.id), { ended: 'revoked' })

  await t.test('a master that forgets the script between the commands of one call gets the script again', async (t) => {
    const breaker = createBreaker({ failures: 1, probeAfterMs: 60_000, maxInFlight: 1 }, () => {})
    const client = master.client()
    const replicated = openReplicaAcks(client as never, { minReplicas: 1, timeoutMs: 5_000, breaker })
    t.teardown(() => replicated.close())
    const { session } = await app.sessions.create({ id: 'ada' })
    await master.client().script('FLUSH')
    await new RedisStore({ client, replicated }).end(session.id, 'revoked')
    t.strictSame(
      await replicated.eval('return ARGV', 1, 'key', 'x'),
      ['x', WAIT_FOLLOWS],
      'eval() waits like evalsha()'
    )
    await t.rejects(replicated.evalsha('0'.repeat(40), 1, 'key'), /^NOSCRIPT/, 'an error of the master is passed on')
    t.notOk(breaker.isOpen, 'an error of the master is no failure of the replicas')
    t.strictSame(await onReplica(session.id), { ended: 'revoked' })
  })

  await t.test('a restarted master acknowledges ends as soon as the replica is connected again', async (t) => {
    await master.kill()
    await t.rejects(app.sessions.revokeAll('ada'), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
    let attempts = 0
    master.client().on('error', () => attempts++)
    await until(() => attempts > 3)
    await master.restart()
    await until(async () =>
      app.sessions.revokeAll('ada').then(
        () => true,
        () => false
      )
    )
    const { session } = await app.sessions.create({ id: 'ada' })
    await app.sessions.revokeAll('ada')
    t.strictSame(await onReplica(session.id), { ended: 'revoked' })
  })
})

t.test('minReplicas opens one more connection, which is closed in time with the app', async (t) => {
  const { master, start } = await startPair(t)
  const admin = master.client()
  const count = async () =>
    String(await admin.client('LIST'))
      .trim()
      .split('\n').length
  const before = await count()
  const plain = await createApp(t, { upstream, redis: { url: master.socketPath } })
  t.equal(await count(), before + 2, 'one connection to read and one connection to write')
  await plain.close()

  const redis = master.client()
  const app = await start({ redis })
  await until(async () => (await count()) === before + 3)
  const { session } = await app.sessions.create({ id: 'ada' })
  master.stall()
  const ending = t.rejects(app.sessions.revoke(session.id), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  const startedAt = performance.now()
  await app.close()
  t.ok(performance.now() - startedAt < 10_000)
  await ending
  master.resume()
  await until(async () => (await count()) === before + 1)
  t.equal(await redis.ping(), 'PONG')
})

t.test(
  'in a Redis Cluster the replica of the user’s master acknowledges the end of a session, also after a failover',
  async (t) => {
    const cluster = await startCluster(t)
    const [app, other] = await Promise.all(
      [{}, { keyPrefix: 'app:' }].map((options) =>
        createApp(t, { upstream, redis: cluster.connect(options), minReplicas: 1, storeTimeoutMs: 5_000 })
      )
    )
    const users = Array.from({ length: 30 }, (_, i) => ({ id: `user-${i}` }))
    const copies = [...cluster.masters, ...cluster.replicas].map((node) => node.client({ readOnly: true }))

    /** Number of copies of sessions, on all servers, with the reason `revoked`. */
    async function countRevoked(): Promise<number> {
      const found = await Promise.all(
        copies.map(async (node) => {
          const keys = await node.keys('*')
          const values = await Promise.all(keys.map((key) => node.get(key).catch(() => null)))
          return values.filter((value) => value === 'revoked').length
        })
      )
      return found.reduce((sum, count) => sum + count)
    }

    async function revokeAll(app: FastifyInstance | undefined): Promise<void> {
      const opened = await Promise.all(users.map(async (user) => app?.sessions.create(user)))
      await Promise.all(opened.map(async (login) => app?.sessions.revoke(login?.session.id ?? '')))
    }

    await revokeAll(app)
    t.equal(await countRevoked(), 2 * users.length)
    await revokeAll(other)
    t.equal(await countRevoked(), 4 * users.length)

    const next = cluster.replicas[0].client()
    await next.cluster('FAILOVER')
    await until(async () => (await next.role())[0] === 'master')
    await until(async () => (await next.wait(1, 100)) === 1)
    await revokeAll(app)
    t.equal(await countRevoked(), 6 * users.length)
  }
)
