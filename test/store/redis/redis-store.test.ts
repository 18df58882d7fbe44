import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createRedisStore } from '../../../lib/index.js'
import { createSessionId, splitSessionId } from '../../../lib/model/session-id.js'
import { RedisStore } from '../../../lib/store/redis/redis-store.js'
import type { StoredSession } from '../../../lib/store/session-store.js'
import { connectRedis, startRedis } from '../../fixtures/redis/start-redis.js'
import { byId, createUser, findAll, HOUR_MS, optionsOf, recordOf, recordsOf } from '../../fixtures/store-user.js'
import { until } from '../../fixtures/until.js'

const client = await connectRedis(t)
const store = createRedisStore(client)
const ONE = { max: 1, onFull: 'evict' } as const

/** The keys of a user, without the prefix of the client. */
async function keysOf(tag: string): Promise<string[]> {
  const { keyPrefix = '' } = client.options
  return (await client.keys(`${keyPrefix}fjs:{${tag}}*`)).map((key) => key.slice(keyPrefix.length)).sort()
}

const headOf = (tag: string) => `fjs:{${tag}}`
const indexOf = (tag: string) => `fjs:{${tag}}l`
const keyOf = (id: string) => `fjs:{${splitSessionId(id)[0]}}${splitSessionId(id)[1]}`

t.test('the only session of a user is one key; several sessions have a key each, in the same slot', async (t) => {
  const { tag, open } = createUser(store)
  const first = await open()
  t.strictSame(await keysOf(tag), [headOf(tag)])
  const [generation, random, ...record] = String(await client.get(headOf(tag))).split(' ')
  t.match(generation, /^[0-9a-z]{8}$/)
  t.strictSame([random, record.join(' ')], [splitSessionId(first.id)[1], first.record])
  const second = await open()
  t.strictSame(await keysOf(tag), [headOf(tag), indexOf(tag), keyOf(first.id), keyOf(second.id)].sort())
  t.strictSame(
    await client.lrange(indexOf(tag), 0, -1),
    [first, second].map(({ id }) => splitSessionId(id)[1])
  )
  const [head, earliest] = String(await client.get(headOf(tag))).split('~')
  t.equal(head, generation)
  const expiresInMs = Number(earliest) - (await serverTime())
  t.ok(expiresInMs > HOUR_MS / 2 && expiresInMs <= HOUR_MS, 'with several sessions the head has the earliest expiry')
  await store.end(first.id, 'revoked')
  await store.end(second.id, 'revoked')
  t.strictSame(await keysOf(tag), [headOf(tag), keyOf(first.id), keyOf(second.id)].sort(), 'there is no empty index')
  const third = await open()
  t.match(await client.get(headOf(tag)), third.record, 'the only session is stored in the head again')
})

t.test('users share no key, whatever characters the user ids have', async (t) => {
  const ids = [' ', '', '\0', '0', '*', ':', '{', '}', '{}', 'a\r\nDEL b', '😀', '__proto__', 'é', 'e\u0301']
  const sessions = ids.map((userId) => ({ id: createSessionId(userId), record: recordOf(JSON.stringify(userId)) }))
  for (const { id, record } of sessions) await store.create(id, record, optionsOf({ limit: ONE }))
  for (const { id, record } of sessions) {
    t.strictSame(await store.find(id), { record })
    t.strictSame(await keysOf(id.slice(0, 16)), [headOf(id.slice(0, 16))])
  }
})

t.test('each operation is one command once script and clock are known; find() of no session is two', async (t) => {
  const { tag, newId, open } = createUser(store)
  const { id, record } = await open()
  const monitor = await client.monitor()
  t.teardown(() => monitor.disconnect())
  const commands: string[] = []
  monitor.on('monitor', (_time, args: string[], source: string) => {
    if (source !== 'lua' && args.some((arg) => arg.includes(tag))) commands.push(args[0]?.toLowerCase() as string)
  })
  await store.create(newId(), recordOf('second'), optionsOf({ limit: ONE, replaces: id }))
  await store.find(id)
  await store.replace(id, record, record)
  await store.list(tag)
  await store.end(id, 'revoked')
  await store.endAll(tag, 'revoked', id)
  await store.find(newId())
  await until(() => commands.length >= 8)
  t.strictSame(commands, ['evalsha', 'mget', 'evalsha', 'evalsha', 'evalsha', 'evalsha', 'mget', 'evalsha'])
})

t.test('a server that has lost the script gets the script again with each operation', async (t) => {
  const { tag, newId, openMany } = createUser(store)
  const [one, two] = (await openMany(2)) as [StoredSession, StoredSession]
  const limit = { max: 2, onFull: 'reject' } as const
  const operations: [string, () => Promise<unknown>, unknown][] = [
    ['create()', () => store.create(newId(), recordOf('third'), optionsOf({ limit })), 'full'],
    ['replace()', () => store.replace(one.id, one.record, two.record), true],
    ['end()', () => store.end(one.id, 'logged_out'), { record: two.record }],
    ['find()', () => store.find(newId()), null],
    ['list()', () => store.list(tag), [two]],
    ['endAll()', () => store.endAll(tag, 'revoked', null), undefined]
  ]
  for (const [name, operate, result] of operations) {
    await client.script('FLUSH')
    t.strictSame(await operate(), result, name)
  }
  t.strictSame(await findAll(store, [one.id, two.id]), [{ ended: 'logged_out' }, { ended: 'revoked' }])
})

t.test('a record and a reason live until the absolute expiry, the head as long as the longest session', async (t) => {
  const { tag, open, newId } = createUser(store)
  const nears = async (key: string, ms: number) => Math.abs((await client.pttl(key)) - ms) < 10_000
  const unknown = newId()
  await store.end(unknown, 'revoked')
  t.ok(await nears(keyOf(unknown), 10 * 60_000), 'the reason of an unknown session')
  const long = await open({ lifeMs: 2 * HOUR_MS })
  t.ok(await nears(headOf(tag), 2 * HOUR_MS))
  await store.replace(long.id, long.record, recordOf('used'))
  t.ok(await nears(headOf(tag), 2 * HOUR_MS), 'activity does not extend the life of the head')
  const brief = await open({ lifeMs: HOUR_MS / 2 })
  t.ok(await nears(keyOf(brief.id), HOUR_MS / 2))
  t.ok(await nears(keyOf(long.id), 2 * HOUR_MS), 'the new key has the same expiry')
  await store.replace(brief.id, brief.record, recordOf('used'))
  t.ok(await nears(keyOf(brief.id), HOUR_MS / 2))
  const longest = await open({ lifeMs: 5 * HOUR_MS })
  for (const { id } of [brief, long, longest]) await store.end(id, 'logged_out')
  t.ok(await nears(keyOf(brief.id), HOUR_MS / 2))
  t.ok(await nears(keyOf(longest.id), 5 * HOUR_MS))
  t.ok(await nears(headOf(tag), 5 * HOUR_MS))
  const next = await open({ lifeMs: HOUR_MS })
  t.ok(await nears(keyOf(next.id), HOUR_MS), 'a session that expires before the head has another key')
})

t.test('endAll() does not need the index, which Redis may have evicted', async (t) => {
  const { tag, openMany } = createUser(store)
  const sessions = await openMany(4)
  await client.del(indexOf(tag))
  const [spared, ...others] = sessions as [StoredSession, ...StoredSession[]]
  await store.endAll(tag, 'revoked', spared.id)
  t.strictSame(
    await findAll(
      store,
      others.map(({ id }) => id)
    ),
    others.map(() => ({ ended: 'revoked' }))
  )
  t.strictSame(await store.list(tag), [spared], 'endAll() writes a new index')
})

t.test('the time of the last endAll() is never ahead of the clock, even if the generation is ahead', async (t) => {
  const { tag, newId, open } = createUser(store)
  const before = await serverTime()
  await Promise.all(Array.from({ length: 60 }, () => store.endAll(tag, 'revoked', null)))
  const [, generation = '', lag = ''] = /^(\w{8})!(\w+)$/.exec(String(await client.get(headOf(tag)))) ?? []
  const revokedAt = Number.parseInt(generation, 36) + 1 - Number.parseInt(lag, 36) / 1_000
  t.ok(revokedAt >= before && revokedAt <= (await serverTime()), `${generation}!${lag}`)
  await open()
  // A head without the time: the generation is the time.
  await client.set(headOf(tag), `${generation}!`, 'KEEPTTL')
  const login = (startedMsAgo: number) => store.create(newId(), recordOf('x'), optionsOf({ startedMsAgo }))
  t.equal(await login(60_000), 'revoked')
  await until(async () => (await serverTime()) > Number.parseInt(generation, 36) + 1)
  t.equal(await login(0), 'created')
})

async function serverTime(): Promise<number> {
  const [seconds, microseconds] = await client.time()
  return Number(seconds) * 1_000 + Number(microseconds) / 1_000
}

t.test('activity brings a session back into an index that was evicted', async (t) => {
  const { tag, openMany } = createUser(store)
  const [one, two] = (await openMany(2)) as [StoredSession, StoredSession]
  await client.del(indexOf(tag))
  t.strictSame(await store.list(tag), [])
  await store.replace(two.id, two.record, two.record)
  await store.replace(one.id, one.record, one.record)
  t.strictSame(await store.list(tag), [two, one])
  t.ok((await client.pttl(indexOf(tag))) > HOUR_MS / 2)
})

t.test('the eviction of a head ends the sessions of the user, and no later login reopens a session', async (t) => {
  const { tag, open, openMany } = createUser(store)
  const sessions = await openMany(3)
  const ids = sessions.map(({ id }) => id)
  await client.del(headOf(tag))
  t.strictSame(await findAll(store, ids), [null, null, null])
  t.equal(await store.replace(ids[0] ?? '', sessions[0]?.record ?? '', recordOf('next')), false)
  t.equal(await store.end(ids[0] ?? '', 'logged_out'), null)
  const next = await open()
  t.strictSame(await findAll(store, ids), [null, null, null])
  t.strictSame(await store.list(tag), [next])
  await store.endAll(tag, 'revoked', ids[1] ?? null)
  t.strictSame(await findAll(store, [...ids, next.id]), Array(4).fill({ ended: 'revoked' }))
})

t.test('a key of another type is an error, and is never overwritten', async (t) => {
  for (const spoil of [headOf, (_tag: string, id: string) => keyOf(id)]) {
    const { tag, newId, openMany } = createUser(store)
    const [{ id, record }] = (await openMany(2)) as [StoredSession, StoredSession]
    const key = spoil(tag, id)
    await client.multi().del(key).lpush(key, 'not a session').expire(key, 60).exec()
    await t.rejects(store.find(id))
    if (spoil === headOf) {
      await t.rejects(store.create(newId(), recordOf('x'), optionsOf({ limit: ONE })))
      await t.rejects(store.replace(id, record, recordOf('next')))
      await t.rejects(store.end(id, 'revoked'))
      await t.rejects(store.endAll(tag, 'revoked', null))
      await t.rejects(store.list(tag))
    }
    t.equal(await client.type(key), 'list')
  }
  const { tag, open, openMany } = createUser(store)
  await openMany(2)
  await client.multi().del(indexOf(tag)).set(indexOf(tag), 'no index', 'EX', 60).exec()
  await t.rejects(open(), /WRONGTYPE/)
  await t.rejects(store.list(tag), /WRONGTYPE/)
})

t.test('a key in an unknown format is an invalid record, until a logout or a login', async (t) => {
  for (const text of ['?', 'no generation', '0123456', '0123456789 x', 'REVOKED']) {
    const { tag, newId, open, openMany } = createUser(store)
    const alone = await open()
    await client.set(headOf(tag), text, 'KEEPTTL')
    t.strictSame(await store.find(alone.id), { record: text })
    await store.end(alone.id, 'logged_out')
    t.strictSame(await store.find(alone.id), { ended: 'logged_out' })

    const user = createUser(store)
    const [one, two] = (await user.openMany(2)) as [StoredSession, StoredSession]
    for (const { id } of [one, two]) await client.set(keyOf(id), text, 'KEEPTTL')
    t.strictSame(await store.find(one.id), { record: text })
    await store.end(one.id, 'logged_out')
    t.equal(await store.create(user.newId(), recordOf('x'), optionsOf({ replaces: two.id })), 'created')
    t.strictSame(await findAll(store, [one.id, two.id]), [{ ended: 'logged_out' }, { ended: 'logged_in_again' }])
    t.ok(newId() && openMany)
  }
  const { tag, open } = createUser(store)
  const { id } = await open()
  await client.set(headOf(tag), '', 'KEEPTTL')
  await t.rejects(store.find(id), { code: 'UNEXPECTED_REPLY' }, 'an empty head is an error')
})

t.test('a head whose session has no record is an invalid record', async (t) => {
  const { tag, open } = createUser(store)
  const { id } = await open()
  const text = String(await client.get(headOf(tag)))
  const cut = text.slice(0, text.indexOf(' ', 9) + 1)
  await client.set(headOf(tag), cut, 'KEEPTTL')
  t.strictSame(await store.find(id), { record: cut })
})

t.test('create() ignores `replaces` with the new id', async (t) => {
  const { newId, open } = createUser(store)
  await open({ lifeMs: 2 * HOUR_MS })
  const id = newId()
  t.equal(await store.create(id, recordOf('x'), optionsOf({ replaces: id })), 'created')
  t.strictSame(await store.find(id), { record: recordOf('x') })
})

t.test('a write that Redis runs after the deadline has no effect', async (t) => {
  const redis = await startRedis(t)
  const { methods } = new RedisStore({ client: redis.client(), timeoutMs: 100 })
  const { tag, open } = createUser(methods)
  const { id, record } = await open()
  redis.stall()
  const late = Promise.allSettled([
    methods.replace(id, record, recordOf('late')),
    methods.writeTokens?.(id, 'late', null),
    methods.endAll(tag, 'revoked', null)
  ])
  await delay(300)
  redis.resume()
  for (const result of await late) t.match(result, { status: 'rejected', reason: { code: 'ETIMEDOUT' } })
  t.strictSame(await methods.find(id), { record })
  t.equal(await methods.readTokens?.(id), null)
})

t.test('without free memory a session can be ended with a reason, and a login changes nothing', async (t) => {
  const server = await startRedis(t)
  const admin = server.client()
  const store = createRedisStore(server.client())
  const user = createUser(store)
  const sessions = (await user.openMany(3)) as [StoredSession, StoredSession, StoredSession]
  const alone = createUser(store)
  const single = await alone.open()
  await admin.config('SET', 'maxmemory', '1')
  const login = { limit: ONE, replaces: sessions[0].id }
  await t.rejects(store.create(user.newId(), recordOf('x'), optionsOf(login)), /OOM/)
  await t.rejects(store.create(alone.newId(), recordOf('x'), optionsOf({ replaces: single.id })), /OOM/)
  await t.rejects(store.replace(sessions[1].id, sessions[1].record, recordOf('used')), /OOM/)
  t.strictSame(
    await findAll(
      store,
      [...sessions, single].map(({ id }) => id)
    ),
    recordsOf([...sessions, single])
  )
  t.strictSame(await store.end(sessions[1].id, 'logged_out'), { record: sessions[1].record })
  t.strictSame(await store.end(single.id, 'logged_out'), { record: single.record })
  t.strictSame(await findAll(store, [sessions[1].id, single.id]), Array(2).fill({ ended: 'logged_out' }))
  t.strictSame(await user.list(), byId([sessions[0], sessions[2]]))
  await store.endAll(user.tag, 'revoked', null)
  t.strictSame(await store.find(sessions[2].id), { ended: 'revoked' })
  t.strictSame(await store.list(user.tag), [])
})

t.test('a read-only server lists the live sessions', async (t) => {
  const server = await startRedis(t)
  const admin = server.client()
  const store = createRedisStore(server.client())
  const { tag, openMany } = createUser(store)
  const [first, gone, last] = (await openMany(3)) as [StoredSession, StoredSession, StoredSession]
  await admin.del(keyOf(gone.id))
  await admin.call('REPLICAOF', '127.0.0.1', '1')
  t.strictSame(await store.list(tag), [first, last])
  t.equal(await admin.llen(indexOf(tag)), 3)
})

t.test('members of the index whose sessions have expired do not count and are removed', async (t) => {
  const { tag, newId, openMany, open } = createUser(store)
  const sessions = (await openMany(5)) as [StoredSession, StoredSession, ...StoredSession[]]
  for (const { id } of sessions.slice(2)) await client.del(keyOf(id))
  const limit = { max: 3, onFull: 'reject' } as const
  const third = newId()
  t.equal(await store.create(third, recordOf('third'), optionsOf({ limit })), 'created')
  t.equal(await client.llen(indexOf(tag)), 3)
  t.equal(await store.create(newId(), recordOf('fourth'), optionsOf({ limit })), 'full')
  await client.del(keyOf(third))
  t.strictSame(await store.list(tag), sessions.slice(0, 2))
  t.equal(await client.llen(indexOf(tag)), 2, 'list() removes expired members')
  t.ok(await open())
})

t.test('a TTL that an operator has removed comes back with the next write', async (t) => {
  const alone = createUser(store)
  const single = await alone.open()
  const user = createUser(store)
  const [one, two] = (await user.openMany(2)) as [StoredSession, StoredSession]
  const keys = [headOf(alone.tag), headOf(user.tag), keyOf(one.id), keyOf(two.id), indexOf(user.tag)]
  for (const key of keys) await client.persist(key)
  await store.replace(single.id, single.record, single.record)
  await store.replace(one.id, one.record, one.record)
  await store.end(two.id, 'logged_out')
  await user.open()
  for (const key of keys) {
    const ttl = await client.pttl(key)
    t.ok(ttl > HOUR_MS / 2 && ttl <= 31 * 24 * HOUR_MS, `${key} lives for ${ttl} ms`)
  }
})

t.test('a client that returns numbers as strings works', async (t) => {
  const other = client.duplicate({ stringNumbers: true })
  t.teardown(() => other.disconnect())
  const store = createRedisStore(other)
  const { newId, open } = createUser(store)
  const { id, record } = await open()
  t.equal(await store.replace(id, record, record), true)
  t.equal(await store.find(newId()), null)
})

t.test('every operation rejects when Redis is unreachable', async (t) => {
  const closed = client.duplicate()
  closed.disconnect()
  const store = createRedisStore(closed)
  const { tag, newId } = createUser(store)
  await t.rejects(store.find(newId()))
  await t.rejects(store.create(newId(), recordOf('x'), optionsOf()))
  await t.rejects(store.replace(newId(), recordOf('x'), recordOf('x')))
  await t.rejects(store.end(newId(), 'revoked'))
  await t.rejects(store.endAll(tag, 'revoked', null))
  await t.rejects(store.list(tag))
})

t.test('only a record of an earlier generation than the head has been revoked', async (t) => {
  const { tag, openMany } = createUser(store)
  const [{ id }] = (await openMany(2)) as [StoredSession, StoredSession]
  await store.endAll(tag, 'revoked', null)
  const found = async (generation: string) => {
    await client.set(keyOf(id), `${generation} r x`, 'PX', HOUR_MS)
    return store.find(id)
  }
  t.strictSame(await found('00000000'), { ended: 'revoked' })
  t.strictSame(await found('zzzzzzzz'), null, 'the head was lost, and a later login has written a new head')
})
