import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance, preHandlerHookHandler } from 'fastify'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { createMemoryStore, createRedisStore, type JwtSessionOptions } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { readCounter } from '../fixtures/count-reads.js'
import { createHost } from '../fixtures/host.js'
import { startRedis } from '../fixtures/redis/start-redis.js'
import { freezeClock, NOW, upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'

const redis = await startRedis(t)
const operator = redis.client()
const countReads = readCounter(operator)

/** On a busy machine a heartbeat may take longer than the default of `maxStaleMs`. */
const cache = { maxStaleMs: 60_000 }

function createCachedApp(t: Test, options: Partial<JwtSessionOptions> = {}): Promise<FastifyInstance> {
  return createApp(t, { upstream, redis: redis.client(), cache, ...options })
}

/** The reason or the status of a rejected request; null for an accepted request. */
async function refusal(app: FastifyInstance, token: string): Promise<string | null> {
  const answer = await app.inject(withToken(token))
  return answer.statusCode === 200 ? null : (answer.json().reason ?? answer.statusCode)
}

async function use(t: Test, app: FastifyInstance, token: string, times = 1): Promise<void> {
  for (let i = 0; i < times; i++) t.equal((await app.inject(withToken(token))).statusCode, 200)
}

t.test('many requests of a session read the session once', async (t) => {
  const app = await createCachedApp(t)
  const { token } = await app.sessions.create({ id: 'ada' })
  await countReads()
  await use(t, app, token, 50)
  t.equal(await countReads(), 1)
})

t.test('a hundred simultaneous first requests are answered, and the session is cached', async (t) => {
  const app = await createCachedApp(t)
  const { token } = await app.sessions.create({ id: 'ada' })
  await Promise.all(Array.from({ length: 100 }, () => use(t, app, token)))
  // Redis may notify of the new session after the first reads.
  await until(async () => {
    await countReads()
    await use(t, app, token)
    return (await countReads()) === 0
  })
})

t.test('a session is read again after every change in Redis, by any client and any command', async (t) => {
  const other = await createCachedApp(t, { cache: false })
  const keys = async () => (await operator.keys('fjs:*')).filter((key) => !key.endsWith('beat')) as [string]
  const changes: Record<string, (id: string) => Promise<unknown>> = {
    'another instance revokes the session': (id) => other.sessions.revoke(id),
    'another instance revokes all sessions': () => other.sessions.revokeAll('ada'),
    'another instance updates the session': (id) => other.sessions.update(id, { a: 1 }),
    'an operator deletes the key': async () => operator.del(...(await keys())),
    'an operator overwrites the key': async () => operator.set((await keys())[0], 'x', 'PX', 1_000),
    'an operator renames the key': async () => operator.rename((await keys())[0], 'elsewhere'),
    'the key expires': async () => operator.pexpire((await keys())[0], 1),
    'an operator flushes Redis': () => operator.flushall(),
    'an operator flushes the database': () => operator.flushdb(),
    'the key is evicted': async () => {
      await operator.config('SET', 'maxmemory', '1')
      await operator.config('SET', 'maxmemory-policy', 'allkeys-lru')
      await operator.set('x', '').catch(() => {})
      await operator.config('SET', 'maxmemory', '0')
    }
  }
  for (const [name, change] of Object.entries(changes)) {
    await operator.flushall()
    const app = await createCachedApp(t)
    const { token, session } = await app.sessions.create({ id: 'ada' })
    await use(t, app, token, 2)
    await change(session.id)
    const changedAt = performance.now()
    let isReadAgain = false
    // Redis expires and evicts keys with a delay.
    await until(async () => {
      await countReads()
      const answered = await refusal(app, token)
      isReadAgain ||= (await countReads()) > 0
      return isReadAgain && answered === (await refusal(other, token))
    })
    t.ok(performance.now() - changedAt < 10_000, name)
    await app.close()
  }
})

t.test('an instance never serves a cached session after its own update or revocation', async (t) => {
  const app = await createCachedApp(t, { session: { maxPerUser: 2 } })
  const open = async () => {
    const { token, session } = await app.sessions.create({ id: 'ada' })
    await use(t, app, token, 2)
    return { token, id: session.id }
  }
  const [first, second] = [await open(), await open()]
  const third = await open()
  t.equal(await refusal(app, first.token), 'replaced')
  await app.sessions.revoke(second.id)
  t.equal(await refusal(app, second.token), 'revoked')
  await app.sessions.update(third.id, { page: 7 })
  t.strictSame((await app.inject(withToken(third.token))).json().data, { page: 7 })
  const revoking = app.sessions.revokeAll('ada')
  t.equal(await refusal(app, third.token), 'revoked', 'also before the acknowledgement')
  await revoking
})

t.test('a change to one user keeps the cached sessions of other users', async (t) => {
  const app = await createCachedApp(t)
  const { token } = await app.sessions.create({ id: 'ada' })
  // The session is cached once Redis has notified of the creation.
  await until(async () => {
    await countReads()
    await use(t, app, token)
    return (await countReads()) === 0
  })
  const { session } = await app.sessions.create({ id: 'bob' })
  await app.sessions.revoke(session.id)
  await operator.set('something else', 'x')
  await delay(20)
  await countReads()
  await use(t, app, token)
  t.equal(await countReads(), 0)
})

t.test('a cached session ends on time by the clock of the process, with the reason', async (t) => {
  const clock = freezeClock(t)
  const app = await createCachedApp(t, { session: { ttlSeconds: 1_000, idleTimeoutSeconds: 600 } })
  const { token } = await app.sessions.create({ id: 'ada' })
  // Redis must not end the session.
  for (const key of await operator.keys('fjs:*')) await operator.persist(key)
  await delay(20)
  await use(t, app, token, 2)
  clock.now = NOW + 599.999
  await countReads()
  t.equal((await app.inject(withToken(token, { url: '/user/session' }))).statusCode, 200)
  t.equal(await countReads(), 0, 'the session is cached')
  clock.now = NOW + 600
  t.equal(await refusal(app, token), 'expired')
  await operator.flushall()

  const { token: busy } = await app.sessions.create({ id: 'ada' })
  for (const second of [500, 999.999]) {
    clock.now = NOW + 600 + second
    await use(t, app, busy, 2)
    await app.sessions.isReady()
  }
  clock.now = NOW + 1_600
  t.equal(await refusal(app, busy), 'expired')
})

t.test('a session that is used through the cache does not expire in Redis', async (t) => {
  const app = await createCachedApp(t, { session: { idleTimeoutSeconds: 1 } })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  await countReads()
  let uses = 0
  const startedAt = Date.now()
  while (Date.now() - startedAt < 2_500) {
    // Simultaneous uses share a read, however slow the machine is.
    await Promise.all(Array.from({ length: 10 }, () => use(t, app, token)))
    uses += 10
    await delay(50)
  }
  t.ok(await app.sessions.find(session.id))
  const reads = await countReads()
  t.ok(reads < uses / 2, `${reads} of ${uses} uses have read Redis`)
})

t.test('changes of a handler to the session object are invisible to other requests', async (t) => {
  const userSchema = Type.Object({ id: Type.String(), tags: Type.Array(Type.Object({ name: Type.String() })) })
  const { app } = await createHost(t, {
    options: { redis: redis.client(), cache: true, userSchema },
    after(app) {
      app.get('/me', { preHandler: app.verifySession }, async ({ session }) => session)
      app.get('/vandal', { preHandler: app.verifySession }, async ({ session }) => vandalize(session))
    }
  })
  const { token, session } = await app.sessions.create({ id: 'ada', tags: [{ name: 'a' }] } as { id: string })
  await app.sessions.update(session.id, JSON.parse('{"list":[{"a":1}],"__proto__":{"b":[2]}}'))
  const see = async () => (await app.inject(withToken(token))).body
  const before = await see()
  t.match(before, '"b":[2]')
  t.equal((await app.inject(withToken(token, { url: '/vandal' }))).statusCode, 200)
  t.equal(await see(), before)

  /** Changes and removes everything that can be reached. */
  function vandalize(thing: unknown): void {
    if (typeof thing !== 'object' || thing === null) return
    const fields = thing as Record<string, unknown>
    for (const key of Object.keys(fields)) {
      vandalize(fields[key])
      fields[key] = 'spoilt'
      delete fields[key]
    }
    fields.more = 'spoilt'
  }
})

t.test('beyond maxEntries the least recently used session is read again', async (t) => {
  const app = await createCachedApp(t, { cache: { maxEntries: 2 } })
  const tokens = []
  for (const id of ['a', 'b', 'c']) tokens.push((await app.sessions.create({ id })).token)
  const [a, b, c] = tokens as [string, string, string]
  for (const token of [a, b, a, c]) await use(t, app, token)
  const readsOf = async (token: string) => {
    await countReads()
    await use(t, app, token)
    return countReads()
  }
  t.strictSame([await readsOf(a), await readsOf(c), await readsOf(b)], [0, 0, 1])
  t.strictSame([await readsOf(c), await readsOf(a)], [0, 1])
})

t.test('a store of the application is cached if the store has track()', async (t) => {
  const store = createRedisStore(redis.client())
  const app = await createApp(t, { upstream, cache, store: { ...store } })
  const { token } = await app.sessions.create({ id: 'ada' })
  await countReads()
  await use(t, app, token, 3)
  t.equal(await countReads(), 1)
})

t.test('the in-memory store needs no cache, and accepts the option', async (t) => {
  const app = await createApp(t, { upstream, cache: true })
  const { token, session } = await app.sessions.create({ id: 'ada' })
  await use(t, app, token)
  await app.sessions.revoke(session.id)
  t.equal(await refusal(app, token), 'revoked')
})

t.test('the in-memory store always has a cache, and a copy of the store that a program changed has none', async (t) => {
  const memory = createMemoryStore()
  for (const [store, isCached] of [
    [memory, true],
    [undefined, true],
    [{ ...memory }, false]
  ] as const) {
    const pending: boolean[] = []
    const request = { url: '/cached' }
    const app = await createApp(t, store === undefined ? {} : { store }, {}, (app) => {
      const preHandler: preHandlerHookHandler = (request, reply, done) => {
        let isPending = false
        app.verifySession(request, reply, (error) => {
          pending.push(isPending)
          done(error)
        })
        isPending = true
      }
      app.get('/cached', { preHandler }, async ({ session }) => session.id)
    })
    const { token, session } = await app.sessions.create({ id: 'ada' })
    for (let i = 0; i < 2; i++) t.equal((await app.inject(withToken(token, request))).body, session.id)
    t.strictSame(pending, [true, !isCached], 'a cached session needs no wait')
    await app.sessions.revoke(session.id)
    t.equal((await app.inject(withToken(token, request))).statusCode, 401)
  }
})
