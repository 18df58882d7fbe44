import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  createMemoryStore,
  createRedisStore,
  type Downtime,
  fastifyJwtSession,
  type JwtSessionOptions,
  type SessionStore,
  verifySession
} from '../../lib/index.js'
import { assertUnavailable, createFaultyStore, loginAs } from '../../lib/testing/index.js'
import { SECRET } from '../fixtures/app.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const INVALID = 'FST_JWT_SESSION_INVALID_OPTION'

/** An app over the store. `/me` is guarded. The circuit closes at the first call after a fault. */
async function createApp(t: Test, store: SessionStore, options: Partial<JwtSessionOptions> = {}) {
  const app = createWatchedFastify(t)
  const breaker = { store: { probeAfterMs: 1 } }
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, store, breaker, ...options })
  app.get('/me', { preHandler: verifySession }, async ({ session }) => session.user.id)
  await app.ready()
  return app
}

function logIn(app: FastifyInstance) {
  return app.inject({ method: 'POST', url: '/user/login', payload: { username: 'ada', password: 'lovelace' } })
}

const FAULTS = {
  'a store out of reach': (store) => store.fail('ECONNREFUSED'),
  'a store that is loading': (store) => store.fail('LOADING'),
  'a store that hangs': (store) => store.hang(),
  'a store slower than the timeout': (store) => store.slow(2 ** 31 - 1)
} satisfies Record<string, (store: ReturnType<typeof createFaultyStore>) => void>

for (const [name, start] of Object.entries(FAULTS)) {
  t.test(`${name} is a 503 for every request, and all is well afterwards`, async (t) => {
    const store = createFaultyStore()
    const app = await createApp(t, store, { storeTimeoutMs: 500 })
    const { inject } = await loginAs(app, { id: 'ada' })
    start(store)
    assertUnavailable(await inject('/me'))
    assertUnavailable(await logIn(app))
    t.equal(await app.sessions.isReady(), false)
    store.heal()
    await until(async () => (await inject('/me')).statusCode === 200)
    t.equal((await logIn(app)).statusCode, 200)
    t.equal(await app.sessions.isReady(), true)
  })
}

t.test('a login that hung opens no session when the store heals', async (t) => {
  const store = createFaultyStore()
  const app = await createApp(t, store, { storeTimeoutMs: 500 })
  store.hang()
  assertUnavailable(await logIn(app))
  store.heal()
  await until(async () => (await app.sessions.list('ada')).length === 0)
  await delay(20)
  t.strictSame(await app.sessions.list('ada'), [])
})

t.test('a logout that hung reaches the store when the store heals', async (t) => {
  const store = createFaultyStore()
  const app = await createApp(t, store, { storeTimeoutMs: 500 })
  const { inject } = await loginAs(app, { id: 'ada' })
  store.hang()
  assertUnavailable(await inject({ method: 'POST', url: '/user/logout' }))
  store.heal()
  await until(async () => (await inject('/me')).json().reason === 'logged_out')
})

t.test('a slow store within the timeout answers, and heal() ends the wait', async (t) => {
  const store = createFaultyStore()
  const app = await createApp(t, store, { storeTimeoutMs: 10_000 })
  const { inject } = await loginAs(app, { id: 'ada' })
  store.slow(5)
  t.equal((await inject('/me')).statusCode, 200)
  store.slow(2 ** 31 - 1)
  const waiting = inject('/me')
  store.heal()
  t.equal((await waiting).statusCode, 200)
  store.slow(0)
  t.equal((await inject('/me')).statusCode, 200)
  store.slow(2 ** 31 - 1)
  const failing = inject('/me')
  store.fail('ECONNRESET')
  assertUnavailable(await failing)
})

t.test('a read-only store verifies, and neither logs in nor out', async (t) => {
  const store = createFaultyStore()
  const app = await createApp(t, store)
  const { session, inject } = await loginAs(app, { id: 'ada' })
  store.readOnly()
  t.equal((await inject('/me')).statusCode, 200)
  t.equal((await app.sessions.list('ada')).length, 1)
  assertUnavailable(await inject({ method: 'POST', url: '/user/logout' }))
  assertUnavailable(await logIn(app))
  const unavailable = { code: 'FST_JWT_SESSION_STORE_UNAVAILABLE', cause: { code: 'READONLY' } }
  await t.rejects(app.sessions.update(session.id, { a: 1 }), unavailable)
  await t.rejects(app.sessions.revokeAll('ada'), unavailable)
  for (let refused = 0; refused < 10; refused++) await t.rejects(app.sessions.revoke(session.id), unavailable)
  t.equal((await inject('/me')).statusCode, 200, 'error replies open no circuit')
  store.heal()
  t.equal((await inject({ method: 'POST', url: '/user/logout' })).statusCode, 204)
})

t.test('a code of Redis is an error reply, any other code is no response', async (t) => {
  const store = createFaultyStore()
  const app = await createApp(t, store, { breaker: { store: { probeAfterMs: 2 ** 31 - 1 } } })
  const { inject } = await loginAs(app, { id: 'ada' })
  for (const [code, isOpen] of [
    ['OOM', false],
    ['EHOSTUNREACH', true]
  ] as const) {
    store.fail(code)
    for (let failed = 0; failed < 5; failed++) assertUnavailable(await inject('/me'))
    store.heal()
    t.equal((await inject('/me')).statusCode === 503, isOpen, code)
  }
})

t.test('while the store is not connected the cache is not used', async (t) => {
  const store = createFaultyStore(createRedisStore(await connectRedis(t)))
  const app = await createApp(t, store, { cache: true, storeTimeoutMs: 5_000 })
  const { inject } = await loginAs(app, { id: 'ada' })
  let finds = 0
  const { find } = store
  store.find = (id) => {
    finds++
    return find(id)
  }
  await until(async () => {
    finds = 0
    t.equal((await inject('/me')).statusCode, 200)
    return finds === 0
  })
  store.readOnly()
  t.equal((await inject('/me')).statusCode, 200)
  t.equal(finds, 0, 'a read-only store reports changes')
  store.fail('ECONNREFUSED')
  assertUnavailable(await inject('/me'))
  store.heal()
  t.equal((await inject('/me')).statusCode, 200)
})

t.test('downtime of the store does not count as idle time', async (t) => {
  const options = { intervalMs: 1_000, rememberMs: 60_000, timeoutMs: 500 }
  const known: Downtime[] = [{ from: 100, to: 200 }]
  let isKnown = true
  let isClosed = false
  const watch = {
    attempted: Promise.resolve(),
    of: () => (isKnown ? known : null),
    close: () => {
      isClosed = true
    }
  }
  const inner: SessionStore = { ...createMemoryStore(), watchDowntime: () => watch }
  const store = createFaultyStore(inner)
  const watched = store.watchDowntime?.(options)
  t.equal(watched?.attempted, watch.attempted)
  let now = 1_000
  t.intercept(Date, 'now', { value: () => now })
  const at = (time: number, action: () => void) => {
    now = time
    action()
  }
  at(1_000, () => store.slow(499))
  at(1_100, () => store.slow(500))
  at(1_200, () => store.hang())
  at(1_300, () => store.heal())
  at(1_400, () => store.readOnly())
  at(1_500, () => store.heal())
  at(1_600, () => store.fail('ECONNREFUSED'))
  const periods = [
    { from: 100, to: 200 },
    { from: 1_100, to: 1_300 },
    { from: 1_400, to: 1_500 },
    { from: 1_600, to: 1_700 }
  ]
  t.strictSame(watched?.of('tag', 1_700), periods)
  known.push({ from: 1_250, to: 1_450 })
  t.strictSame(watched?.of('tag', 1_700), [periods[0], { from: 1_100, to: 1_500 }, periods[3]], 'without overlaps')
  known.push({ from: 1_550, to: 1_800 })
  t.strictSame(watched?.of('tag', 1_700)?.at(-1), { from: 1_550, to: 1_800 }, 'a period within another')
  isKnown = false
  t.equal(watched?.of('tag', 1_700), null)
  watched?.close()
  t.ok(isClosed)
})

t.test('a store of a class is wrapped with all its methods, also with those of later releases', async (t) => {
  class Store {
    readonly #memory = createMemoryStore()
    readonly name = 'own'
    closed = 0
    readonly create: SessionStore['create'] = (...args) => this.#memory.create(...args)
    readonly find: SessionStore['find'] = (id) => this.#memory.find(id)
    readonly replace: SessionStore['replace'] = (...args) => this.#memory.replace(...args)
    readonly end: SessionStore['end'] = (...args) => this.#memory.end(...args)
    readonly endAll: SessionStore['endAll'] = (...args) => this.#memory.endAll(...args)
    async list(tag: string) {
      return this.#memory.list(tag)
    }
    async readNotes(id: string) {
      return `${this.name} ${id}`
    }
    async writeNotes(id: string) {
      return `${this.name} ${id}`
    }
    close() {
      this.closed++
    }
  }
  class Derived extends Store {}
  const inner = new Derived()
  const store = createFaultyStore(inner)
  const app = await createApp(t, store)
  const { inject } = await loginAs(app, { id: 'ada' })
  t.equal((await inject('/me')).statusCode, 200)
  t.notOk('track' in store || 'watchDowntime' in store, 'a method that is not there must not seem to be there')
  t.equal(await store.readNotes('id'), 'own id')
  store.readOnly()
  t.equal(await store.readNotes('id'), 'own id', 'a read')
  await t.rejects(store.writeNotes('id'), { message: /^READONLY / })
  store.fail('ETIMEDOUT')
  await t.rejects(store.readNotes('id'), { code: 'ETIMEDOUT' })
  await t.rejects(store.list('tag'), { code: 'ETIMEDOUT' })
  store.close()
  t.equal(store.closed, 1, 'close() and fields are those of the inner store')
  t.equal(store.name, 'own')
  t.equal({ ...store }.name, 'own', 'a spread copies fields')
  t.strictSame((await inner.list('tag')).length, 0, 'the inner store has no fault')
})

t.test('two faulty stores around one another have faults of their own', async (t) => {
  const inner = createFaultyStore(Object.freeze(createMemoryStore()))
  const outer = createFaultyStore(inner)
  outer.fail('EPIPE')
  await t.rejects(outer.find('id'), { code: 'EPIPE' })
  t.equal(await inner.find('id'), null)
  outer.heal()
  inner.fail('ECONNRESET')
  await t.rejects(outer.find('id'), { code: 'ECONNRESET' })
})

t.test('what is no store and no fault is named', async (t) => {
  for (const value of [null, 'memory', {}, { find: 1 }]) {
    const inner: unknown = value
    t.throws(() => createFaultyStore(inner as SessionStore), {
      code: 'FST_JWT_SESSION_INVALID_OPTION',
      option: 'inner'
    })
  }
  const store = createFaultyStore()
  for (const code of ['', 'econnrefused', 'TWO WORDS', undefined, 500, ['OOM']]) {
    const given: unknown = code
    t.throws(() => store.fail(given as string), { code: INVALID, option: 'code' }, `${code}`)
  }
  for (const ms of [-1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31]) {
    t.throws(() => store.slow(ms), { code: INVALID, option: 'ms' }, `${ms}`)
  }
  t.equal(await store.find('id'), null, 'a wrong call starts no fault')
})
