import t from 'tap'
import { createRedisStore } from '../../../lib/index.js'
import { splitSessionId } from '../../../lib/model/session-id.js'
import type { StoredSession } from '../../../lib/store/session-store.js'
import { connectRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { byId, createUser, SHORT_LIFE_MS } from '../../fixtures/store-user.js'
import { until } from '../../fixtures/until.js'

type Four<T> = [T, T, T, T]

const store = createRedisStore(await connectRedis(t))
const keyOf = (id: string) => `fjs:{${splitSessionId(id)[0]}}${splitSessionId(id)[1]}`

t.test('a session that has expired among others makes room for a login', async (t) => {
  for (const isUsed of [false, true]) {
    const user = createUser(store)
    const brief = await user.open({ lifeMs: 2 * SHORT_LIFE_MS })
    const others = await user.openMany(2)
    // The most recent activity: the oldest activity would be evicted first in any case.
    if (isUsed) t.ok(await store.replace(brief.id, brief.record, brief.record))
    await until(async () => (await store.find(brief.id)) === null)
    const limit = { max: 3, onFull: 'evict', onEvicted: () => t.fail('a live session was evicted') } as const
    const next = await user.open({ limit })
    t.strictSame(await user.list(), byId([...others, next]))
    const evicted: number[] = []
    await user.open({ limit: { ...limit, onEvicted: (count: number) => evicted.push(count) } })
    t.strictSame(evicted, [1])
    t.strictSame(await store.find(others[0]?.id ?? ''), { ended: 'replaced' })
  }
})

t.test('a login at the limit replaces the session of the token, or else the oldest session', async (t) => {
  const user = createUser(store)
  const [first, second, third, fourth] = (await user.openMany(4)) as Four<StoredSession>
  const limit = { max: 4, onFull: 'evict' } as const
  const fifth = await user.open({ limit, replaces: third.id })
  t.strictSame(await user.list(), byId([first, second, fourth, fifth]))
  const sixth = await user.open({ limit, replaces: third.id })
  t.strictSame(await user.list(), byId([second, fourth, fifth, sixth]))
  const seventh = await user.open({ limit: { ...limit, max: 2 }, replaces: second.id })
  t.strictSame(await user.list(), byId([sixth, seventh]), 'a lower limit')
})

t.test('a login reads no session of a user at the limit, until the first session may have expired', async (t) => {
  const redis = await startRedis(t)
  const admin = redis.client()
  const store = createRedisStore(admin)
  const user = createUser(store)
  const limit = { max: 300, onFull: 'evict' } as const
  const [first] = await user.openMany(299)
  const brief = await user.open({ lifeMs: 4 * SHORT_LIFE_MS })
  const commandsOfLogin = async () => {
    await admin.call('CONFIG', 'RESETSTAT')
    await user.open({ limit })
    const stats = await admin.info('commandstats')
    return [...stats.matchAll(/calls=(\d+)/g)].reduce((sum, [, calls]) => sum + Number(calls), 0)
  }
  t.ok((await commandsOfLogin()) < 30)
  t.strictSame(await store.find(first?.id ?? ''), { ended: 'replaced' })
  await until(async () => (await admin.pttl(keyOf(brief.id))) === -2)
  t.ok((await commandsOfLogin()) > 300, 'the earliest expiry has passed')
  t.ok((await commandsOfLogin()) < 30, 'the next expiry is known')
})
