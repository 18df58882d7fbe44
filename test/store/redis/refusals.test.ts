import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { isRefusal } from '../../../lib/store/redis/refusal.js'
import { createApp } from '../../fixtures/app.js'
import { cutConnections, openReadyClient } from '../../fixtures/redis/own-client.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { upstream } from '../../fixtures/tokens.js'
import { until } from '../../fixtures/until.js'

/** Longer than the pause between two rounds of ending abandoned sessions. */
const SEVERAL_ROUNDS_MS = 1_500

const refusing: Record<string, { start: string[]; end: string[] }> = {
  OOM: { start: ['CONFIG', 'SET', 'maxmemory', '1'], end: ['CONFIG', 'SET', 'maxmemory', '0'] },
  READONLY: { start: ['REPLICAOF', '127.0.0.1', '1'], end: ['REPLICAOF', 'NO', 'ONE'] },
  NOREPLICAS: {
    start: ['CONFIG', 'SET', 'min-replicas-to-write', '1'],
    end: ['CONFIG', 'SET', 'min-replicas-to-write', '0']
  }
}

for (const [code, { start, end }] of Object.entries(refusing)) {
  t.test(`logins that Redis has refused (${code}) write no key, and are not undone`, async (t) => {
    const redis = await startRedis(t)
    const admin = redis.client()
    // An injected client: a client of the plugin leaves a read-only server, and may repeat a command.
    const app = await createApp(t, { upstream, redis: redis.client() })
    await until(() => app.sessions.isReady())
    await app.sessions.create({ id: 'ada' })
    const before = await admin.dbsize()
    const call = ([name = '', ...args]: string[]) => admin.call(name, ...args)
    await call(start)
    for (const id of ['ada', 'bob', 'eve']) await t.rejects(app.sessions.create({ id }), { cause: { code } })
    await call(end)
    await until(() => app.sessions.isReady())
    await delay(SEVERAL_ROUNDS_MS)
    t.equal(await admin.dbsize(), before)
    t.equal((await app.sessions.list('ada')).length, 1)
  })
}

t.test('a login that fails between two writes is undone', async (t) => {
  const redis = await startRedis(t)
  const admin = redis.client()
  const app = await createApp(t, { upstream, redis: { url: redis.socketPath } })
  const [{ session }] = [await app.sessions.create({ id: 'ada' }), await app.sessions.create({ id: 'ada' })]
  const [index = ''] = await admin.keys('*}l')
  await admin.del(index)
  await admin.set(index, 'a text', 'PX', 60_000)
  await t.rejects(app.sessions.create({ id: 'ada' }), { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE' })
  await admin.del(index)
  const countRevoked = async () => {
    const keys = await admin.keys(`*{${session.id.slice(0, 16)}}?*`)
    const values = await Promise.all(keys.map((key) => admin.get(key)))
    return values.filter((value) => value === 'revoked').length
  }
  await until(async () => (await countRevoked()) === 1)
})

t.test('only error replies to commands without any effect are refusals', async (t) => {
  const redis = await startRedis(t)
  const { client } = await openReadyClient(t, { path: redis.socketPath })
  const words = ['OOM', 'READONLY', 'NOREPLICAS', 'MISCONF', 'LOADING', 'MASTERDOWN', 'BUSY', 'NOAUTH']
  const others = ['ERR', 'NOPERM', 'WRONGTYPE', 'NOSCRIPT', 'UNKNOWN', 'Connection', 'OOMS']
  const refusals = [...words, ...others].filter((word) => isRefusal(new Error(`${word} and more`), client))
  t.strictSame(refusals, words)
  const ofCluster = Object.assign(Object.create(client), { nodes: () => [] })
  const inCluster = [...words, ...others].filter((word) => isRefusal(new Error(`${word} and more`), ofCluster))
  t.strictSame(inCluster, words.slice(0, 4), 'a Cluster client may have sent the command before')
  for (const error of [Object.assign(new Error('OOM'), { code: 'OOM' }), 'OOM', null, { message: 'OOM' }]) {
    t.notOk(isRefusal(error, client))
  }
  for (const code of [undefined, 1]) t.ok(isRefusal(Object.assign(new Error('OOM'), { code }), client), `code ${code}`)
})

t.test('an error reply to a repeated command is no refusal: the first command may have had an effect', async (t) => {
  const redis = await startRedis(t)
  const { client, commands } = await openReadyClient(t, { path: redis.socketPath })
  const errors = ['Connection is closed.', 'OOM command not allowed', 'OOM command not allowed']
  client.eval = () => Promise.reject(new Error(errors.shift()))
  const pending = commands.eval('', 0).catch((error: unknown) => error)
  await cutConnections(redis.client())
  const second = await pending
  t.match(second, { message: /^OOM/ })
  t.notOk(isRefusal(second, client))
  await until(() => client.status === 'ready')
  t.ok(isRefusal(await commands.eval('', 0).catch((error: unknown) => error), client), 'the first attempt is a refusal')
})
