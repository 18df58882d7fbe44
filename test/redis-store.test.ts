import t, { type Test } from 'tap'
import { createRedisStore, type StoredSession } from '../lib/index.js'
import { createSessionId, splitSessionId } from '../lib/model/session-id.js'
import { KEPT_AFTER_LIFE_MS } from '../lib/store/session-store.js'
import { connectRedis, startRedis } from './fixtures/redis/start-redis.js'
import { createUser, findAll, HOUR_MS, recordOf } from './fixtures/store-user.js'
import { until } from './fixtures/until.js'

const client = await connectRedis(t)
const store = createRedisStore(client)
const KEPT_MS = HOUR_MS + KEPT_AFTER_LIFE_MS

/** The keys of a user, without the client's prefix. */
async function keysOf(tag: string): Promise<string[]> {
  const { keyPrefix = '' } = client.options
  return (await client.keys(`${keyPrefix}fjs:{${tag}}*`)).map((key) => key.slice(keyPrefix.length)).sort()
}

t.test('a session alone of its user is one key, a second one makes an index of them, in the same slot', async (t) => {
  const { tag, open } = createUser(store)
  const index = `fjs:{${tag}}`
  const first = await open()
  t.strictSame(await keysOf(tag), [`${index}0`])
  t.equal(await client.get(`${index}0`), `${splitSessionId(first.id)[1]} ${first.record}`)
  const [, second] = splitSessionId((await open()).id)
  t.strictSame(await keysOf(tag), [index, `${index}0`, index + second].sort())
  t.strictSame(await client.zrange(index, '0', '-1'), ['0', second])
  await store.endAll(tag, 'revoked', null)
  t.strictSame(await keysOf(tag), [`${index}0`, index + second].sort(), 'no index of nothing')
})

t.test('users share no key, whatever characters their ids have', async (t) => {
  const ids = [' ', '', '\0', '0', '*', ':', '{', '}', '{}', 'a\r\nDEL b', '😀', '__proto__', 'é', 'e\u0301']
  const sessions = ids.map((userId) => ({ id: createSessionId(userId), record: recordOf(JSON.stringify(userId)) }))
  const limit = { max: 1, evictionReason: 'replaced' as const }
  for (const { id, record } of sessions) await store.create(id, record, HOUR_MS, limit)
  for (const { id, record } of sessions) {
    t.equal(await store.find(id), record)
    t.match(await keysOf(id.slice(0, 16)), [/^fjs:\{[\w-]{16}\}0$/])
  }
})

t.test('every operation is one command, EVALSHA or MGET, once the script is known', async (t) => {
  const { tag, newId, open } = createUser(store)
  const { id, record } = await open()
  const monitor = await client.monitor()
  t.teardown(() => monitor.disconnect())
  const commands: string[] = []
  monitor.on('monitor', (_time, args: string[], source: string) => {
    if (source !== 'lua' && args.some((arg) => arg.includes(tag))) commands.push(args[0]?.toLowerCase() as string)
  })
  await store.create(newId(), recordOf('second'), HOUR_MS, { max: 1, evictionReason: 'replaced' })
  await store.find(id)
  await store.replace(id, record, record, HOUR_MS)
  await store.list(tag)
  await store.end(id, 'revoked')
  await store.endAll(tag, 'revoked', id)
  await until(() => commands.length >= 6)
  t.strictSame(commands, ['evalsha', 'mget', ...Array(4).fill('evalsha')])
})

t.test('a server that has forgotten the script is told it again, by each operation', async (t) => {
  const { tag, newId, openMany } = createUser(store)
  const [one, two] = await openMany(2)
  const operations: [string, () => Promise<unknown>, unknown][] = [
    ['create()', () => store.create(newId(), recordOf('third'), HOUR_MS, { max: 2, evictionReason: null }), false],
    ['replace()', () => store.replace(one?.id ?? '', one?.record ?? '', two?.record ?? '', HOUR_MS), true],
    ['end()', () => store.end(one?.id ?? '', 'revoked'), undefined],
    ['list()', () => store.list(tag), [two]],
    ['endAll()', () => store.endAll(tag, 'revoked', null), undefined]
  ]
  for (const [name, operate, result] of operations) {
    await client.script('FLUSH')
    t.strictSame(await operate(), result, name)
  }
  t.strictSame(await findAll(store, [one?.id ?? '', two?.id ?? '']), ['revoked', 'revoked'])
})

t.test('a record is kept for its life and a while, a reason until the end of the record and no longer', async (t) => {
  const { tag, open, newId } = createUser(store)
  const life = { lifeMs: HOUR_MS / 2 }
  const sessions = [await open(life), await open(life)]
  const keys = ['0', splitSessionId(sessions[1]?.id as string)[1]].map((member) => `fjs:{${tag}}${member}`)
  for (const key of keys) assertNear(await client.pttl(key), HOUR_MS / 2 + KEPT_AFTER_LIFE_MS)
  for (const { id, record } of sessions) await store.replace(id, record, record, HOUR_MS)
  for (const key of keys) assertNear(await client.pttl(key), KEPT_MS)
  await store.end(sessions[0]?.id as string, 'logged_out')
  await store.create(newId(), recordOf('new'), HOUR_MS, { max: 1, evictionReason: 'replaced' })
  for (const [i, key] of keys.entries()) {
    const leftMs = Number.parseInt(sessions[i]?.record as string, 36) - Date.now()
    assertNear(await client.pttl(key), leftMs)
  }

  /** Both clocks go on while a slow machine does something else. */
  function assertNear(actualMs: number, expectedMs: number) {
    t.ok(Math.abs(actualMs - expectedMs) < 10_000, `${actualMs} is near ${expectedMs}`)
  }
})

t.test('the index lives as long as its sessions, whichever of them is extended or ends', async (t) => {
  const { tag, open } = createUser(store)
  const index = `fjs:{${tag}}`
  const outlives = async (key: string) => (await client.pttl(index)) >= (await client.pttl(key)) - 1
  const long = await open()
  const brief = await open({ lifeMs: 1_000 })
  const briefKey = index + splitSessionId(brief.id)[1]
  t.ok(await outlives(`${index}0`), 'made by a shorter one')
  await store.replace(brief.id, brief.record, brief.record, 3 * HOUR_MS)
  t.ok(await outlives(briefKey), 'a later one extended')
  await store.replace(long.id, long.record, long.record, 5 * HOUR_MS)
  t.ok(await outlives(`${index}0`), 'the first one extended')
  await store.replace(long.id, long.record, long.record, 1_000)
  t.ok(await outlives(briefKey), 'the first one shortened')
  await store.end(long.id, 'revoked')
  t.ok(await outlives(briefKey), 'the first one ended')
  await open({ lifeMs: 1_000 })
  t.ok(await outlives(briefKey), 'a third one that is shorter')
  t.equal((await store.list(tag)).length, 2)
})

t.test('the index is trimmed: it does not grow with the sessions whose life is over', async (t) => {
  const { tag, open, openAndOutlive } = createUser(store)
  for (let i = 0; i < 8; i++) await openAndOutlive()
  await open()
  t.ok((await client.zcard(`fjs:{${tag}}`)) <= 3)
})

const LIVE = 6

/** Sessions that have expired long ago, while some older ones are live. */
async function openBehindLiveOnes(count: number) {
  const { tag, open, openMany } = createUser(store)
  const live = await openMany(LIVE)
  for (let i = 0; i < count; i++) {
    const { id } = await open()
    // As Redis does.
    await client.del(`fjs:{${tag}}${splitSessionId(id)[1]}`)
  }
  return { index: `fjs:{${tag}}`, live, list: () => store.list(tag) }
}

t.test('it is also trimmed behind the oldest sessions, however long those live', async (t) => {
  const { index, live, list } = await openBehindLiveOnes(500)
  const count = await client.zcard(index)
  t.ok(count < 50, `${count} members`)
  t.strictSame(await list(), live)
  t.equal(await client.zcard(index), LIVE, 'and a list leaves nothing of them')
})

t.test('a server that may only be read from lists what is live nevertheless', async (t) => {
  const server = await startRedis(t)
  const admin = server.client()
  const store = createRedisStore(server.client())
  const { tag, openMany } = createUser(store)
  const [first, gone, last] = (await openMany(3)) as [StoredSession, StoredSession, StoredSession]
  await admin.del(`fjs:{${tag}}${splitSessionId(gone.id)[1]}`)
  await admin.call('REPLICAOF', '127.0.0.1', '1')
  t.strictSame(await store.list(tag), [first, last])
  t.equal(await admin.zcard(`fjs:{${tag}}`), 3)
})

t.test('what replace() keeps is listed and ended like everything else', async (t) => {
  const limit = { max: 5, evictionReason: 'replaced' as const }

  t.test('when the life of the session was over for a moment', async (t) => {
    const { tag, newId, open, openAndOutlive } = createUser(store)
    await open()
    const { id, record } = await openAndOutlive()
    await store.create(newId(), recordOf('new'), HOUR_MS, limit)
    await assertReachable(t, tag, id, await store.replace(id, record, record, HOUR_MS))
  })

  t.test('when the record that was there before had an earlier end', async (t) => {
    const { tag, newId, open } = createUser(store)
    const { id, record } = await open({ endsInMs: 1 })
    await open()
    const replaced = await store.replace(id, record, recordOf('next'), HOUR_MS)
    await store.create(newId(), recordOf('new'), HOUR_MS, limit)
    await assertReachable(t, tag, id, replaced)
  })

  t.test('when a process creates another one whose clock is half a minute ahead', async (t) => {
    const { tag, newId, open } = createUser(store)
    const { id, record } = await open({ endsInMs: 25_000 })
    await open()
    const { now } = Date
    const clock = t.intercept(Date, 'now', { value: () => now() + 30_000 })
    await store.create(newId(), recordOf('new'), HOUR_MS, limit)
    clock.restore()
    await assertReachable(t, tag, id, await store.replace(id, record, record, 20_000))
  })

  async function assertReachable(t: Test, tag: string, id: string, isKept: boolean) {
    const listed = (await store.list(tag)).map(({ id }) => id)
    t.equal(listed.includes(id), isKept)
    await store.endAll(tag, 'revoked', null)
    if (isKept) t.equal(await store.find(id), 'revoked')
  }
})

t.test('a client that answers numbers as strings is understood', async (t) => {
  const other = client.duplicate({ stringNumbers: true })
  t.teardown(() => other.disconnect())
  const store = createRedisStore(other)
  const id = createUser(store).newId()
  const record = recordOf('x')
  t.equal(await store.create(id, record, HOUR_MS, null), true)
  t.equal(await store.replace(id, record, record, HOUR_MS), true)
})

t.test('a TTL that somebody has removed extends nothing past the end in the record', async (t) => {
  const { tag, newId, open } = createUser(store)
  const { id, record } = await open({ endsInMs: 1 })
  await client.persist(`fjs:{${tag}}0`)
  await until(() => Date.now() > Number.parseInt(record, 36))
  t.equal(await store.create(newId(), recordOf('new'), HOUR_MS, { max: 1, evictionReason: null }), true)
  t.equal(await store.replace(id, record, recordOf('next'), HOUR_MS), false)
  await client.expire(`fjs:{${tag}}0`, 60)
})

t.test('a value of another type under the key of a session is no session', async (t) => {
  const { tag, newId, open } = createUser(store)
  const [id, index] = [newId(), `fjs:{${tag}}`]
  for (const key of [`${index}0`, index + splitSessionId(id)[1]]) {
    await client.lpush(key, 'not a session')
    await client.expire(key, 60)
  }
  t.equal(await store.find(id), null)
  t.equal(await store.replace(id, recordOf('x'), recordOf('next'), HOUR_MS), false)
  await store.end(id, 'revoked')
  await store.endAll(tag, 'revoked', null)
  t.equal(await store.find(id), null)
  const good = await open()
  t.strictSame(await store.list(tag), [good])
  t.equal(await store.create(newId(), recordOf('x'), HOUR_MS, { max: 1, evictionReason: 'replaced' }), true)
  t.equal(await store.find(good.id), 'replaced')
})

t.test('a value of another type under the key of the index: nothing is said to be ended or not there', async (t) => {
  const { tag, newId, open } = createUser(store)
  const { id, record } = await open()
  await client.set(`fjs:{${tag}}`, 'no index', 'EX', 60)
  await t.rejects(store.list(tag), /WRONGTYPE/)
  await t.rejects(store.endAll(tag, 'revoked', null), /WRONGTYPE/)
  for (const limit of [null, { max: 1, evictionReason: 'replaced' as const }]) {
    await t.rejects(store.create(newId(), recordOf('x'), HOUR_MS, limit), /WRONGTYPE/)
  }
  t.equal(await store.find(id), record)
  await store.end(id, 'revoked').catch(() => {})
  t.equal(await store.find(id), 'revoked', 'one session can still be ended')
})

t.test('out of memory a session can be ended, and a login changes nothing', async (t) => {
  const server = await startRedis(t)
  const client = server.client()
  const store = createRedisStore(client)
  const { tag, newId, openMany } = createUser(store)
  const sessions = await openMany(3)
  await client.config('SET', 'maxmemory', '1')
  const limit = { max: 1, evictionReason: 'replaced' as const }
  await t.rejects(store.create(newId(), recordOf('x'), HOUR_MS, limit), /OOM/)
  t.strictSame(await store.list(tag), sessions)
  await store.end(sessions[1]?.id as string, 'revoked')
  t.strictSame(await store.list(tag), [sessions[0], sessions[2]])
  await store.endAll(tag, 'revoked', null)
  t.strictSame(await store.list(tag), [])
})

t.test('a creation that ioredis sends again, since the connection broke before the answer, is one', async (t) => {
  for (const limit of [null, { max: 1, evictionReason: 'replaced' as const }, { max: 1, evictionReason: null }]) {
    const { tag, newId } = createUser(store)
    for (const before of [0, 1]) {
      const [id, record] = [newId(), recordOf(`after ${before}`)]
      if (limit?.evictionReason === null) await store.endAll(tag, 'revoked', null)
      for (let i = 0; i < 2; i++) t.equal(await store.create(id, record, HOUR_MS, limit), true)
      t.equal(await store.find(id), record)
      t.equal((await store.list(tag)).filter((listed) => listed.id === id).length, 1)
      await store.end(id, 'revoked')
      await store.create(id, record, HOUR_MS, limit)
      t.equal(await store.find(id), 'revoked', 'nor does it bring anything back')
      if (before === 0) await store.create(newId(), recordOf('another'), HOUR_MS, null)
    }
  }
})

t.test('everything rejects when Redis cannot be asked', async (t) => {
  const closed = client.duplicate()
  closed.disconnect()
  const store = createRedisStore(closed)
  const { tag, newId } = createUser(store)
  await t.rejects(store.find(newId()))
  await t.rejects(store.create(newId(), recordOf('x'), HOUR_MS, null))
  await t.rejects(store.replace(newId(), recordOf('x'), recordOf('x'), HOUR_MS))
  await t.rejects(store.end(newId(), 'revoked'))
  await t.rejects(store.endAll(tag, 'revoked', null))
  await t.rejects(store.list(tag))
})
