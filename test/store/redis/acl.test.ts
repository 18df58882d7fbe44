import fastifyRedis from '@fastify/redis'
import t from 'tap'
import { createRedisStore, type StoredSession } from '../../../lib/index.js'
import { createApp, logIn, logout, withToken } from '../../fixtures/app.js'
import { readRights } from '../../fixtures/readme-rights.js'
import { createRestrictedUser } from '../../fixtures/redis/restricted-user.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { createUser, optionsOf, recordOf } from '../../fixtures/store-user.js'
import { until } from '../../fixtures/until.js'
import { createWatchedFastify } from '../../fixtures/watched-fastify.js'

const { always: rights, forReplicas } = await readRights()
/** Rights for commands that ioredis and @fastify/redis send; the store needs the other rights. */
const OF_CLIENTS = ['+info', '+ping', '+select']
const ofStore = rights.filter((right) => !OF_CLIENTS.includes(right))

const server = await startRedis(t)
const admin = server.client()
const { credentials: user, allow, denied } = createRestrictedUser(server)

t.test('README lists rights on keys of the plugin alone, and no command category', async (t) => {
  t.strictSame(
    rights.filter((right) => right.startsWith('~')),
    ['~fjs:*']
  )
  for (const right of rights) t.match(right, /^(?:\+[a-z]+|~fjs:\*)$/)
})

t.test('the rights of README with a key prefix are enough for a client with this prefix', async (t) => {
  await allow(rights.map((right) => right.replace('~', '~app:')))
  const store = createRedisStore(server.client({ ...user, keyPrefix: 'app:' }))
  t.equal(await useStore(store), undefined)
  t.strictSame(await denied(), [])
})

t.test('an app whose Redis user has the rights of README works from start to close', async (t) => {
  await allow(rights)
  const app = await createApp(t, { redis: { url: server.socketPath, ...user } })
  const token = await logIn(app)
  t.equal((await app.inject(withToken(token))).statusCode, 200)
  t.equal((await app.inject(logout(token))).statusCode, 204)
  t.equal(await app.sessions.isReady(), true)
  await app.close()
  t.strictSame(await denied(), [])
})

for (const right of ofStore) {
  t.test(`without ${right} the store rejects`, async (t) => {
    await allow(rights.filter((granted) => granted !== right))
    await t.rejects(useStore(createRedisStore(server.client(user))), /NOPERM|can't (?:run|access)/)
  })
}

t.test('with minReplicas the store also needs the right +wait', async (t) => {
  t.strictSame(forReplicas, ['+wait'])
  for (const [granted, code] of [
    [rights, 'NOPERM'],
    [[...rights, ...forReplicas], 'NOREPLICAS']
  ] as const) {
    await allow([...granted])
    const app = await createApp(t, { redis: { url: server.socketPath, ...user }, minReplicas: 1 })
    const { session } = await app.sessions.create({ id: 'ada' })
    await t.rejects(app.sessions.revoke(session.id), { cause: { code } })
    await app.close()
  }
  t.strictSame(await denied(), [])
})

t.test('without +info ioredis warns at the start that the ready check is skipped', async (t) => {
  await allow(rights.filter((granted) => granted !== '+info'))
  const warn = t.capture(console, 'warn')
  await createApp(t, { redis: { url: server.socketPath, ...user } })
  t.match(warn()[0]?.args[0], /^Skipping the ready check because INFO command fails/)
})

t.test('@fastify/redis sends PING at the start', async (t) => {
  await allow(rights)
  await admin.config('RESETSTAT')
  const app = createWatchedFastify(t)
  await app.register(fastifyRedis, { url: server.socketPath, ...user })
  await until(async () => (await admin.info('commandstats')).includes('cmdstat_ping:'))
  t.strictSame(await denied(), [])
})

/** Every operation of a store, on a server that does not know the script and finally has no memory left. */
async function useStore(store: ReturnType<typeof createRedisStore>): Promise<void> {
  await admin.script('FLUSH')
  const watched = store.watchDowntime?.({ intervalMs: 60_000, rememberMs: 60_000, timeoutMs: 10_000 })
  watched?.close()
  await watched?.attempted
  if (watched?.of('', Date.now()) === null) throw new Error('NOPERM for the beat')
  const { tag, newId, openMany } = createUser(store)
  const [first, second] = (await openMany(2)) as [StoredSession, StoredSession]
  await store.find(first.id)
  await store.find(newId())
  await store.replace(second.id, second.record, recordOf('next'))
  await store.create(newId(), recordOf('third'), optionsOf({ limit: { max: 2, onFull: 'evict' } }))
  await store.list(tag)
  await store.writeTokens?.(second.id, 'x', null)
  await admin.config('SET', 'maxmemory', '1')
  try {
    await store.end(second.id, 'logged_out')
    await store.endAll(tag, 'revoked', null)
  } finally {
    await admin.config('SET', 'maxmemory', '0')
  }
}
