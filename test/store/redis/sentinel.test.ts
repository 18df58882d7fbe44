import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import t from 'tap'
import { createRedisStore } from '../../../lib/index.js'
import { createApp, withToken } from '../../fixtures/app.js'
import { startSentinel } from '../../fixtures/redis/start-sentinel.js'
import { allEnded, createUser, findAll, idsOf } from '../../fixtures/store-user.js'
import { until } from '../../fixtures/until.js'

const { master, connect } = await startSentinel(t)
const store = createRedisStore(connect({ commandTimeout: 500 }))

t.test('a Sentinel that does not respond is skipped', async (t) => {
  const hanging = createServer(() => {})
  t.teardown(() => hanging.close())
  await once(hanging.listen(0, '127.0.0.1'), 'listening')
  const { port } = hanging.address() as AddressInfo
  const { sentinels = [], name = '' } = connect().options
  const redis = { sentinels: [{ host: '127.0.0.1', port }, ...(sentinels ?? [])], name }
  const app = await createApp(t, { redis, cache: true })
  const { token } = await app.sessions.create({ id: 'ada' })
  t.equal((await app.inject(withToken(token))).statusCode, 200)
})

t.test('no session is missing while the master is down, and the replica has all sessions', async (t) => {
  const users = Array.from({ length: 10 }, () => createUser(store))
  const sessions = (await Promise.all(users.map(({ openMany }) => openMany(2)))).flat()
  const [ended] = sessions.splice(0, 1)
  await store.end(ended?.id as string, 'logged_out')
  t.equal(await master.client().wait(1, 5_000), 1)
  await master.kill()
  await until(async () => {
    const found = await Promise.all(sessions.map(({ id }) => store.find(id).catch(() => 'unavailable')))
    for (const [i, each] of found.entries()) {
      if (each !== 'unavailable') t.strictSame(each, { record: sessions[i]?.record })
    }
    return !found.includes('unavailable')
  })
  t.strictSame(await store.find(ended?.id as string), { ended: 'logged_out' })
  for (const { tag } of users) await store.endAll(tag, 'revoked', null)
  t.strictSame(await findAll(store, idsOf(sessions)), allEnded(sessions.length, 'revoked'))
})
