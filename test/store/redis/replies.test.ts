import { setTimeout as delay } from 'node:timers/promises'
import t from 'tap'
import { createRedisStore, type RedisClient } from '../../../lib/index.js'
import type { RedisCluster } from '../../../lib/store/redis/client.js'
import { masterOf, nodeKeyOf, tagOnServer } from '../../../lib/store/redis/cluster-slots.js'
import { NO_DEADLINE, parseReply, type ScriptCall } from '../../../lib/store/redis/script-call.js'
import { ScriptRunner } from '../../../lib/store/redis/script-runner.js'
import { startRedis } from '../../fixtures/redis/start-redis.js'
import { createUser, findAll, optionsOf, recordOf } from '../../fixtures/store-user.js'

t.test('every call rejects while other code has a transaction open on the client', async (t) => {
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
    readTokens: async () => store.readTokens?.(id),
    writeTokens: async () => store.writeTokens?.(id, 'x', null),
    create: () => store.create(user.newId(), recordOf('x'), optionsOf())
  }
  for (const [name, call] of Object.entries(calls)) await t.rejects(call(), { code: 'UNEXPECTED_REPLY' }, name)
  await client.discard()
  t.strictSame(await store.find(id), { record })
})

t.test('a reply that does not fit the command is an error', async (t) => {
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
      async () => store.readTokens?.(newId()),
      async () => store.writeTokens?.(newId(), 'x', null),
      () => store.create(newId(), recordOf('x'), optionsOf())
    ]
    for (const call of calls) {
      await t.rejects(call(), { code: 'UNEXPECTED_REPLY' }, `${JSON.stringify(reply)}: ${call}`)
    }
  }
})

t.test('a result of another operation is an error', async (t) => {
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

t.test('a login that Redis runs after the deadline has no effect', async (t) => {
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

/** A server whose clock is ahead of the clock of the process. */
function createServer(aheadMs: () => number, connectionNumber = () => 1) {
  const calls: string[][] = []
  const evalsha: RedisClient['evalsha'] = async (_sha, _count, _key, ...args) => {
    const time = performance.now() + aheadMs()
    calls.push(args)
    const [, notAfter] = args
    const isLate = notAfter !== NO_DEADLINE && time > Number(notAfter)
    return [time.toFixed(3), isLate ? 'too_late' : 'replaced']
  }
  return { calls, runner: new ScriptRunner({ evalsha, eval: evalsha, connectionNumber }) }
}

const call: ScriptCall & ['replace', ...string[]] = ['replace', 'random', 'record', 'next']
const PLACE = { key: 'fjs:{x}', server: 'a', call }

t.test('a deadline is sent to Redis in the time of the Redis clock', async (t) => {
  for (const aheadMs of [0, -3_600_000, 86_400_000]) {
    const { calls, runner } = createServer(() => 1e12 + aheadMs)
    const notAfter = performance.now() + 500
    t.equal(await runner.run({ ...PLACE, notAfter }), 'replaced')
    t.equal(await runner.run({ ...PLACE, notAfter: performance.now() - 1 }), 'too_late')
    const operations = calls.map(([operation]) => operation)
    // A slow first reply is measured once more.
    t.match(operations.join(' '), /^ping (?:ping )?replace replace$/, 'the server time is read first')
    t.ok(Math.abs(Number(calls.at(-2)?.[1]) - (notAfter + 1e12 + aheadMs)) < 100)
  }
})

t.test('setting the clock of Redis costs one more call, and no wrong result', async (t) => {
  let aheadMs = 1e12
  const { calls, runner } = createServer(() => aheadMs)
  await runner.run({ ...PLACE, notAfter: performance.now() + 500 })
  aheadMs += 60_000
  t.equal(await runner.run({ ...PLACE, notAfter: performance.now() + 500 }), 'replaced')
  t.equal(calls.filter(([operation]) => operation === 'replace').length, 3)
  aheadMs -= 90_000
  await runner.run(PLACE)
  t.equal(
    await runner.run({ ...PLACE, notAfter: performance.now() - 1_000 }),
    'too_late',
    'a clock that was set back costs no wrong result'
  )
})

t.test('the clock is read again after a reconnect, which may lead to another server', async (t) => {
  let connection = 1
  let aheadMs = 2e12
  const { calls, runner } = createServer(
    () => aheadMs,
    () => connection
  )
  await runner.run({ ...PLACE, notAfter: performance.now() + 500 })
  // Without a new reading the deadline would be half an hour late.
  aheadMs -= 1_800_000
  connection = 2
  t.equal(await runner.run({ ...PLACE, notAfter: performance.now() - 1_000 }), 'too_late')
  t.equal(calls.at(-2)?.[0], 'ping')
})

t.test('the clocks of two servers are stored separately', async (t) => {
  let isOther = false
  const { calls, runner } = createServer(() => (isOther ? 2e12 : 1e12))
  const notAfter = performance.now() + 60_000
  for (const [server, millions] of [
    ['a', 1e6],
    ['b', 2e6],
    ['a', 1e6]
  ] as const) {
    isOther = server === 'b'
    t.equal(await runner.run({ ...PLACE, server, notAfter }), 'replaced')
    t.equal(Math.round((Number(calls.at(-1)?.[1]) - notAfter) / 1e6), millions)
  }
  t.equal(calls.filter(([operation]) => operation === 'replace').length, 3, 'no deadline has passed by a wrong clock')
})

t.test('a local time is sent in the time of the Redis clock, also after the clock was set', async (t) => {
  let aheadMs = 1e12
  const { calls, runner } = createServer(() => aheadMs)
  const localMs = performance.now() - 100
  const create: ScriptCall = ['create', 'r', 'record', '1000', { localMs }, '10', 'evict', 'none', '']
  for (const changeMs of [0, 60_000]) {
    aheadMs += changeMs
    await t.rejects(runner.run({ ...PLACE, call: create, notAfter: performance.now() + 500 }), {
      code: 'UNEXPECTED_REPLY'
    })
    t.ok(Math.abs(Number(calls.at(-1)?.[5]) - (localMs + aheadMs)) < 100)
  }
})

t.test('a client without slots for a master has no tag on this master', async (t) => {
  const client = { slots: [] } as unknown as RedisCluster
  t.equal(tagOnServer(client, '127.0.0.1:7000'), '')
  t.equal(masterOf(client, 'x'), '')
  t.equal(nodeKeyOf({ options: {} }), '127.0.0.1:6379')
})

t.test('a reply without the last text is no acknowledgement of an end', async (t) => {
  t.throws(() => parseReply('endOne', ['ended']), { code: 'UNEXPECTED_REPLY' })
  t.throws(() => parseReply('endAll', ['ended']), { code: 'UNEXPECTED_REPLY' })
})
