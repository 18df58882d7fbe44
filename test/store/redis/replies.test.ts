import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createRedisStore, type RedisClient } from '../../../lib/index.js'
import type { RedisCluster } from '../../../lib/store/redis/client.js'
import { masterOf, nodeKeyOf, tagOnServer } from '../../../lib/store/redis/cluster-slots.js'
import { NO_DEADLINE, parseReply } from '../../../lib/store/redis/script-call.js'
import { ScriptRunner } from '../../../lib/store/redis/script-runner.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { createUser, findAll, optionsOf, recordOf } from '../../fixtures/store-user.js'

t.test('while other code has a transaction open on the client, nothing is taken for an answer', async (t) => {
  const client = (await startRedis(t)).client()
  const store = createRedisStore(client)
  const user = createUser(store)
  const { id, record } = await user.open()
  await client.multi({ pipeline: false })
  const calls: Record<string, () => Promise<unknown>> = {
    find: () => store.find(id),
    replace: () => store.replace(id, record, recordOf('next')),
    end: () => store.end(id, 'logged_out'),
    endAll: () => store.endAll(user.tag, 'revoked', null),
    list: () => store.list(user.tag),
    create: () => store.create(user.newId(), recordOf('x'), optionsOf())
  }
  for (const [name, call] of Object.entries(calls)) await t.rejects(call(), { code: 'UNEXPECTED_REPLY' }, name)
  await client.discard()
  t.strictSame(await store.find(id), { record })
})

t.test('a reply that is not of the command is no answer', async (t) => {
  const replies: unknown[] = [
    'QUEUED',
    'OK',
    '',
    null,
    undefined,
    1,
    [],
    ['x'],
    [null],
    ['1.0'],
    Buffer.from('x'),
    {},
    [1]
  ]
  for (const reply of [...replies, [['1.000', 'ended']], ['1.000', { a: 1 }], [1, 2]]) {
    const odd = async () => reply as never
    const client: RedisClient = { mget: odd, evalsha: odd, eval: odd }
    const store = createRedisStore(client)
    const { tag, newId } = createUser(store)
    const calls: (() => Promise<unknown>)[] = [
      () => store.find(newId()),
      () => store.replace(newId(), recordOf('x'), recordOf('y')),
      () => store.end(newId(), 'logged_out'),
      () => store.endAll(tag, 'revoked', null),
      () => store.list(tag),
      () => store.create(newId(), recordOf('x'), optionsOf())
    ]
    for (const call of calls) {
      await t.rejects(call(), { code: 'UNEXPECTED_REPLY' }, `${JSON.stringify(reply)}: ${call}`)
    }
  }
})

t.test('a result of another operation is no answer', async (t) => {
  const client: RedisClient = {
    mget: async () => [null, null],
    evalsha: async () => ['1.000', 'replaced'],
    eval: async () => []
  }
  const store = createRedisStore(client)
  const { newId } = createUser(store)
  await t.rejects(store.end(newId(), 'logged_out'), { code: 'UNEXPECTED_REPLY' })
  await t.rejects(store.create(newId(), recordOf('x'), optionsOf()), { code: 'UNEXPECTED_REPLY' })
  await t.rejects(store.find(newId()), { code: 'UNEXPECTED_REPLY' })
})

t.test('a command that Redis meets after its deadline does nothing', async (t) => {
  const redis = await startRedis(t)
  const store = createRedisStore(redis.client())
  const user = createUser(store)
  const [old, other] = await user.openMany(2)
  redis.stall()
  const id = user.newId()
  const late = store.create(
    id,
    recordOf('late'),
    optionsOf({ notAfter: Date.now() + 100, limit: { max: 1, onFull: 'evict' }, replaces: old?.id ?? null })
  )
  await delay(300)
  redis.resume()
  t.equal(await late, 'too_late')
  t.strictSame(await findAll(store, [id, old?.id ?? '', other?.id ?? '']), [
    null,
    { record: old?.record },
    { record: other?.record }
  ])
})

/** A server whose clock is so many milliseconds ahead of this process's. */
function createServer(aheadMs: () => number, connectionNumber = () => 1) {
  const calls: string[][] = []
  const evalsha: RedisClient['evalsha'] = async (_sha, _count, _key, ...args) => {
    const time = performance.now() + aheadMs()
    calls.push(args)
    const [, notAfter] = args
    const isLate = notAfter !== NO_DEADLINE && time > Number(notAfter)
    return [time.toFixed(3), isLate ? 'too_late' : 'done']
  }
  return { calls, runner: new ScriptRunner({ evalsha, eval: evalsha, connectionNumber }) }
}

const PLACE = { key: 'fjs:{x}', server: 'a', call: ['list'] as ['list'] }

t.test('a deadline is handed to Redis by the clock of Redis', async (t) => {
  for (const aheadMs of [0, -3_600_000, 86_400_000]) {
    const { calls, runner } = createServer(() => 1e12 + aheadMs)
    const notAfter = performance.now() + 500
    t.strictSame(await runner.run({ ...PLACE, notAfter }), ['done'])
    t.strictSame(await runner.run({ ...PLACE, notAfter: performance.now() - 1 }), ['too_late'])
    const operations = calls.map(([operation]) => operation)
    // Once more when the first reply was slow.
    t.match(operations.join(' '), /^ping (?:ping )?list list$/, 'whose time is asked for at first')
    t.ok(Math.abs(Number(calls.at(-2)?.[1]) - (notAfter + 1e12 + aheadMs)) < 100)
  }
})

t.test('a clock of Redis that was set costs one more call, and no answer', async (t) => {
  let aheadMs = 1e12
  const { calls, runner } = createServer(() => aheadMs)
  await runner.run({ ...PLACE, notAfter: performance.now() + 500 })
  aheadMs += 60_000
  t.strictSame(await runner.run({ ...PLACE, notAfter: performance.now() + 500 }), ['done'])
  t.equal(calls.filter(([operation]) => operation === 'list').length, 3)
  aheadMs -= 90_000
  await runner.run(PLACE)
  t.strictSame(
    await runner.run({ ...PLACE, notAfter: performance.now() - 1_000 }),
    ['too_late'],
    'nor does one set back'
  )
})

t.test('another connection may lead to another server, whose clock is asked for anew', async (t) => {
  let connection = 1
  let aheadMs = 2e12
  const { calls, runner } = createServer(
    () => aheadMs,
    () => connection
  )
  await runner.run({ ...PLACE, notAfter: performance.now() + 500 })
  // Without a new time the deadline would be half an hour late.
  aheadMs -= 1_800_000
  connection = 2
  t.strictSame(await runner.run({ ...PLACE, notAfter: performance.now() - 1_000 }), ['too_late'])
  t.equal(calls.at(-2)?.[0], 'ping')
})

t.test('the clocks of two servers are told apart', async (t) => {
  const { runner } = createServer(() => 1e12)
  await runner.run({ ...PLACE, notAfter: performance.now() + 500 })
  t.equal(Math.round((await runner.toServerTime(0, PLACE)) / 1e6), 1e6)
  let isFirst = true
  const other = createServer(() => 2e12)
  const evalsha: RedisClient['evalsha'] = async () => {
    const reply = [(performance.now() + (isFirst ? 1e12 : 2e12)).toFixed(3), 'done']
    isFirst = false
    return reply
  }
  const two = new ScriptRunner({ evalsha, eval: evalsha })
  t.equal(Math.round((await two.toServerTime(0, PLACE)) / 1e6), 1e6)
  t.equal(Math.round((await two.toServerTime(0, { ...PLACE, server: 'b' })) / 1e6), 2e6)
  t.equal(Math.round((await two.toServerTime(0, PLACE)) / 1e6), 1e6)
  t.ok(other)
})

t.test('a client that knows no slots of a master knows no user of the master', async (t) => {
  const client = { slots: [] } as unknown as RedisCluster
  t.equal(tagOnServer(client, '127.0.0.1:7000'), '')
  t.equal(masterOf(client, 'x'), '')
  t.equal(nodeKeyOf({ options: {} }), '127.0.0.1:6379')
})

t.test('a reply without its last text is no acknowledgement of an end', async (t) => {
  t.throws(() => parseReply('endOne', ['ended']), { code: 'UNEXPECTED_REPLY' })
  t.throws(() => parseReply('endAll', ['ended']), { code: 'UNEXPECTED_REPLY' })
})
