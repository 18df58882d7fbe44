import { randomUUID } from 'node:crypto'
import { EventEmitter, once } from 'node:events'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import { createMemoryStore, createRedisStore, type SessionStore } from '../../lib/index.js'
import { splitSessionId } from '../../lib/model/session-id.js'
import { createApp, logout, withToken } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { createFaults } from '../fixtures/faults.js'
import { createLog } from '../fixtures/log.js'
import { type StartedRedis, startRedis } from '../fixtures/redis/start-redis.js'
import { STORES } from '../fixtures/stores.js'
import { freezeClock, NOW } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const IDLE = 600
const TENTH = IDLE / 10
const session = { ttlSeconds: 43_200, idleTimeoutSeconds: IDLE }
/** Longer than a busy machine may stall: after a timeout no activity is written for a second. */
const STORE_TIMEOUT_MS = 10_000

/** A store that records the result of each replace(). */
function watchReplace(store: SessionStore) {
  const outcomes: boolean[] = []
  let calls = 0
  const watched: SessionStore = {
    ...store,
    async replace(...args) {
      calls++
      const isWritten = await store.replace(...args)
      outcomes.push(isWritten)
      return isWritten
    }
  }
  /** Number of written records, once all calls have settled. */
  async function writes(): Promise<number> {
    await until(() => outcomes.length === calls)
    await turn()
    return outcomes.filter(Boolean).length
  }
  return { watched, writes }
}

/** Sends `times` requests to each app at once, and expects 200. */
async function use(t: Test, apps: FastifyInstance[], token: string, times = 1): Promise<void> {
  const requests = Array.from({ length: times }, () => apps.map((app) => app.inject(withToken(token))))
  const answers = await Promise.all(requests.flat())
  t.ok(answers.every(({ statusCode }) => statusCode === 200))
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`activity is written rarely in the ${name} store:`, async (t) => {
    t.test('activity is written once in a tenth of the idle timeout, for any number of requests', async (t) => {
      const { watched, writes } = watchReplace(await createStore(t))
      const clock = freezeClock(t)
      const app = await createApp(t, { store: watched, session, storeTimeoutMs: STORE_TIMEOUT_MS })
      const { token } = await app.sessions.create({ id: 'ada' })
      const faults = createFaults()
      for (let second = 0; second <= 2 * IDLE; second += TENTH / 6) {
        clock.now = NOW + second
        await use(t, [app], token, 3)
        faults.compare(`${second} s`, await writes(), Math.floor(second / TENTH))
      }
      faults.assertNone(t)
    })

    t.test('activity is written after a tenth of the idle timeout, and not before', async (t) => {
      const { watched, writes } = watchReplace(await createStore(t))
      const clock = freezeClock(t)
      const app = await createApp(t, { store: watched, session, storeTimeoutMs: STORE_TIMEOUT_MS })
      const { token } = await app.sessions.create({ id: 'ada' })
      for (const [second, expected] of [
        [TENTH - 0.001, 0],
        [TENTH, 1],
        [TENTH + IDLE - 0.001, 2]
      ] as const) {
        clock.now = NOW + second
        await use(t, [app], token)
        t.equal(await writes(), expected)
      }
    })

    t.test('a hundred simultaneous requests on two instances cause one write', async (t) => {
      const { watched, writes } = watchReplace(await createStore(t))
      const clock = freezeClock(t)
      const apps = [
        await createApp(t, { store: watched, session, storeTimeoutMs: STORE_TIMEOUT_MS }),
        await createApp(t, { store: watched, session, storeTimeoutMs: STORE_TIMEOUT_MS })
      ]
      const { token } = await (apps[0] as FastifyInstance).sessions.create({ id: 'ada' })
      for (let round = 1; round <= 10; round++) {
        clock.now = NOW + round * TENTH
        await use(t, apps, token, 100)
        t.equal(await writes(), round)
      }
    })
  })
}

/** Every command of the server since the last call, including commands of scripts. */
async function watchCommands(t: Test, redis: StartedRedis): Promise<() => Promise<string[][]>> {
  const client = redis.client()
  const monitor = await client.monitor()
  t.teardown(() => monitor.disconnect())
  const commands: string[][] = []
  monitor.on('monitor', (_time: string, args: string[]) => void (args[0] === 'ping' || commands.push(args)))
  return async () => {
    const marker = randomUUID()
    await client.echo(marker)
    await until(() => commands.some((args) => args.includes(marker)))
    return commands.splice(0).slice(0, -1)
  }
}

t.test('a request whose read was overtaken by a write of activity writes no activity', async (t) => {
  const store = createMemoryStore()
  t.teardown(() => store.close())
  const [reading, read] = [createGate(), createGate()]
  let finds = 0
  let replaces = 0
  const clock = freezeClock(t)
  const app = await createApp(t, {
    session,
    store: {
      ...store,
      async find(id) {
        const found = await store.find(id)
        if (++finds === 1) {
          reading.open()
          await read.opened
        }
        return found
      },
      replace(...args) {
        replaces++
        return store.replace(...args)
      }
    }
  })
  const { token } = await app.sessions.create({ id: 'ada' })
  clock.now = NOW + TENTH
  const overtaken = app.inject(withToken(token))
  await reading.opened
  await use(t, [app], token)
  await turn()
  t.equal(replaces, 1)
  read.open()
  t.equal((await overtaken).statusCode, 200)
  await turn()
  t.equal(replaces, 1)
})

t.test('activity before the last activity is written once, with an idle timeout of years', async (t) => {
  const store = createMemoryStore()
  t.teardown(() => store.close())
  const { watched, writes } = watchReplace(store)
  const clock = freezeClock(t)
  // A tenth is longer than the longest delay of a timer in Node.js.
  const seconds = 300 * 86_400
  const lifetimes = { ttlSeconds: seconds, idleTimeoutSeconds: seconds }
  const app = await createApp(t, { store: watched, session: lifetimes, storeTimeoutMs: STORE_TIMEOUT_MS })
  const { token } = await app.sessions.create({ id: 'ada' })
  // An instance with a wrong clock.
  clock.now = NOW + seconds * 0.6
  await use(t, [app], token)
  t.equal(await writes(), 1)
  clock.now = NOW
  for (let i = 0; i < 3; i++) {
    await use(t, [app], token)
    t.equal(await writes(), 2)
    // Node.js fires a timer with too long a delay after 1 ms.
    await delay(20)
  }
})

t.test('two instances with Redis write activity with one SET in one script', async (t) => {
  const redis = await startRedis(t)
  const clock = freezeClock(t)
  const apps = [
    await createApp(t, { redis: redis.client(), session, storeTimeoutMs: 30_000 }),
    await createApp(t, { redis: redis.client({ enableAutoPipelining: true }), session, storeTimeoutMs: 30_000 })
  ]
  const { token, session: opened } = await (apps[0] as FastifyInstance).sessions.create({ id: 'ada' })
  await use(t, apps, token)
  const watched = await watchCommands(t, redis)
  /** Names of the commands with keys of the user. */
  const commandsSince = async () => {
    const commands = await watched()
    const [tag] = splitSessionId(opened.id)
    return commands.filter((args) => args.some((arg) => arg.includes(tag))).map(([name = '']) => name.toUpperCase())
  }
  for (let round = 1; round <= 10; round++) {
    clock.now = NOW + round * TENTH
    await use(t, apps, token, 100)
    // The reply comes after the replies to all earlier commands of the connection.
    for (const app of apps) await app.sessions.isReady()
    const commands = await commandsSince()
    t.equal(commands.filter((name) => name === 'SET').length, 1)
    t.ok(commands.filter((name) => name.startsWith('EVAL')).length <= 2, 'at most one script call per instance')

    await use(t, apps, token, 10)
    for (const app of apps) await app.sessions.isReady()
    const reads = await commandsSince()
    t.strictSame([...new Set(reads)], ['MGET'], 'no activity is written until the next tenth')
  }
})

/** A store whose writes of activity wait for `open()`. */
function holdReplace(store: SessionStore) {
  const gate = new EventEmitter()
  let waiting = 0
  const held: SessionStore = {
    ...store,
    async replace(...args) {
      waiting++
      await once(gate, 'open')
      return store.replace(...args)
    }
  }
  return { held, open: () => gate.emit('open'), waiting: () => waiting }
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`a slow write of activity does no harm in the ${name} store:`, async (t) => {
    /** A session after a tenth of the idle timeout, and an app whose writes are held. */
    async function open(t: Test) {
      const store = await createStore(t)
      const { held, ...gate } = holdReplace(store)
      const clock = freezeClock(t)
      const app = await createApp(t, { store: held, session: { ...session, maxPerUser: 1 }, storeTimeoutMs: 5_000 })
      t.teardown(() => gate.open())
      const created = await app.sessions.create({ id: 'ada' })
      clock.now = NOW + TENTH
      return { store, app, clock, id: created.session.id, ...created, ...gate }
    }

    t.test('the write of activity delays no request', async (t) => {
      const { app, token, waiting } = await open(t)
      const startedAt = performance.now()
      for (const times of [100, 10]) await use(t, [app], token, times)
      t.ok(performance.now() - startedAt < 5_000)
      t.equal(waiting(), 1, 'the write is started only once')
    })

    const ends: Record<string, (app: FastifyInstance, token: string) => Promise<unknown>> = {
      logged_out: (app, token) => app.inject(logout(token)),
      revoked: (app) => app.sessions.revokeAll('ada'),
      replaced: (app) => app.sessions.create({ id: 'ada' })
    }
    for (const [reason, end] of Object.entries(ends)) {
      t.test(`a late write of activity does not reopen a session that is ${reason}`, async (t) => {
        const { app, token, id, store, ...gate } = await open(t)
        await use(t, [app], token)
        await end(app, token)
        gate.open()
        await turn()
        t.strictSame(await store.find(id), { ended: reason })
        t.equal((await app.inject(withToken(token))).json().reason, reason)
        t.notOk((await app.sessions.list('ada')).some((session) => session.id === id))
      })
    }

    t.test('a late write of activity does not undo an update of the data', async (t) => {
      const { app, token, id, store, ...gate } = await open(t)
      await use(t, [app], token)
      const other = await createApp(t, { store, session })
      await other.sessions.update(id, { theme: 'dark' })
      gate.open()
      await turn()
      t.strictSame((await other.sessions.find(id))?.data, { theme: 'dark' })
    })
  })
}

t.test('a failed write of activity fails no request, and the next request writes the activity', async (t) => {
  const failures: Record<string, () => unknown> = {
    'requests succeed when replace() rejects with an error': () => Promise.reject(new Error('hunter2')),
    'requests succeed when replace() rejects with undefined': () => Promise.reject(),
    'requests succeed when replace() throws': () => {
      throw new Error('hunter2')
    },
    'requests succeed when replace() returns no promise': () => undefined,
    'requests succeed when replace() reports a conflict': async () => false
  }
  const unhandled: unknown[] = []
  const listener = (reason: unknown) => unhandled.push(reason)
  process.on('unhandledRejection', listener)
  t.teardown(() => process.off('unhandledRejection', listener))
  for (const [how, fail] of Object.entries(failures)) {
    await t.test(how, async (t) => {
      const memory = createMemoryStore()
      const store = { ...memory, replace: fail as SessionStore['replace'] }
      const log = createLog()
      const clock = freezeClock(t)
      const app = await createApp(t, { store, session }, { logger: log.logger })
      const { token, session: opened } = await app.sessions.create({ id: 'ada' })
      clock.now = NOW + TENTH
      await use(t, [app], token, 5)
      await turn()
      t.strictSame(unhandled, [])
      t.notMatch(log.lines.join(''), 'hunter2')
      const works = await createApp(t, { store: memory, session })
      await use(t, [works], token)
      t.equal((await works.sessions.find(opened.id))?.lastSeenAt, clock.now * 1_000)
    })
  }
})

t.test('a failing write of activity is tried once per second, for any number of requests', async (t) => {
  const triedAt: number[] = []
  const replace = async () => {
    triedAt.push(performance.now())
    throw new Error('read-only')
  }
  const clock = freezeClock(t)
  const app = await createApp(t, { store: { ...createMemoryStore(), replace }, session })
  const { token } = await app.sessions.create({ id: 'ada' })
  clock.now = NOW + TENTH
  while (triedAt.length < 3) {
    await use(t, [app], token, 10)
    await delay(50)
  }
  const [first, second, third] = triedAt as [number, number, number]
  for (const pause of [second - first, third - second]) t.ok(pause > 990, `${pause} ms`)
})

t.test('a late write of activity does not restore a session that Redis has lost', async (t) => {
  const client = (await startRedis(t)).client()
  const { held, open } = holdReplace(createRedisStore(client))
  const clock = freezeClock(t)
  const app = await createApp(t, { store: held, session })
  const { token } = await app.sessions.create({ id: 'ada' })
  clock.now = NOW + TENTH
  await use(t, [app], token)
  await client.flushall()
  open()
  await turn()
  t.equal(await client.dbsize(), 0)
  t.equal((await app.inject(withToken(token))).json().reason, 'unknown')
})
