import type { AddressInfo } from 'node:net'
import t from 'tap'
import { createMemoryStore, fastifyJwtSession, type SessionStore } from '../../lib/index.js'
import { createSessionId } from '../../lib/model/session-id.js'
import { createGuardedStore } from '../../lib/store/guarded-store.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { createGate } from '../fixtures/create-gate.js'
import { createCustodyApp, numberOf } from '../fixtures/custody-app.js'
import { collectMessages } from '../fixtures/messages.js'
import { CREDENTIALS, postJson } from '../fixtures/post-json.js'
import { readEvents } from '../fixtures/read-events.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { startTokenUpstream } from '../fixtures/token-upstream.js'
import { upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const IDLE = {
  openStreams: 0,
  inFlight: { store: 0, upstream: 0 },
  breaker: { store: 'closed', upstream: 'closed' },
  cache: null
}

t.test('without an upstream, a cache and a stream there is nothing to count', async (t) => {
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, routes: { login: false, register: false } })
  t.strictSame(app.sessions.stats(), IDLE)
})

t.test('the circuits have messages and states, and pending calls are counted', async (t) => {
  const { breaker: changes } = collectMessages(t, (fault) => t.fail(fault))
  const memory = createMemoryStore()
  let find: SessionStore['find'] = memory.find
  let login: (credentials: unknown) => Promise<{ user: { id: string } }> = upstream.login
  const notify = createGate()
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, {
    jwt: { secret: SECRET },
    store: { ...memory, find: (id) => find(id) },
    upstream: { login: (credentials) => login(credentials), logout: () => notify.opened },
    breaker: { store: { failures: 1, probeAfterMs: 1 }, upstream: { failures: 1, probeAfterMs: 1 } }
  })
  await app.ready()
  const stats = () => app.sessions.stats()
  const token = await logIn(app)
  t.strictSame(stats(), IDLE)

  const gate = createGate()
  find = () => gate.opened.then(() => Promise.reject(new Error('down')))
  login = () => gate.opened.then(() => Promise.reject(Object.assign(new Error('down'), { code: 'ECONNREFUSED' })))
  const calls = [app.sessions.verify(token).catch(() => {}), app.inject(postJson('/user/login', CREDENTIALS))]
  await until(() => stats().inFlight.upstream === 1)
  t.match(stats(), { inFlight: { store: 1, upstream: 1 }, breaker: { store: 'closed', upstream: 'closed' } })
  gate.open()
  await Promise.all(calls)
  t.strictSame(stats(), { ...IDLE, breaker: { store: 'open', upstream: 'open' } })
  const opened = [
    { of: 'store', state: 'open' },
    { of: 'upstream', state: 'open' }
  ]
  t.strictSame(
    changes.splice(0).toSorted((a, b) => a.of.localeCompare(b.of)),
    opened
  )

  find = memory.find
  login = upstream.login
  await until(() => app.sessions.verify(token).then(Boolean, () => false))
  t.strictSame(changes.splice(0), [{ of: 'store', state: 'closed' }])
  await until(() => logIn(app).then(Boolean, () => false))
  t.strictSame(changes.splice(0), [{ of: 'upstream', state: 'closed' }])

  const leaving = app.inject(logout(token))
  await until(() => stats().inFlight.upstream === 1)
  notify.open()
  await leaving
  t.strictSame(stats(), IDLE)
})

t.test('an upstream that responds to no logout does not count: logins go on', async (t) => {
  const { breaker: changes } = collectMessages(t, (fault) => t.fail(fault))
  const refuse = () => Promise.reject(Object.assign(new Error('down'), { code: 'ECONNREFUSED' }))
  const breaker = { upstream: { failures: 1 } }
  const app = await createApp(t, { upstream: { ...upstream, logout: refuse }, breaker })
  await app.inject(logout(await logIn(app)))
  t.strictSame(changes, [])
  t.equal(app.sessions.stats().breaker.upstream, 'closed')
})

t.test('a pending refresh of tokens is a pending call of the upstream', async (t) => {
  const tokenUpstream = await startTokenUpstream(t)
  const app = await createCustodyApp(t, tokenUpstream)
  const token = await logIn(app)
  const refresh = createGate()
  tokenUpstream.onRefresh = async () => {
    await refresh.opened
    return false
  }
  const asking = numberOf(app, token, 1)
  await until(() => tokenUpstream.refreshes.length === 1)
  t.equal(app.sessions.stats().inFlight.upstream, 1)
  refresh.open()
  t.equal(await asking, 2)
  t.equal(app.sessions.stats().inFlight.upstream, 0)
})

t.test('open streams are counted until their clients have gone', async (t) => {
  const app = await createApp(t, { redis: await connectRedis(t), upstream, routes: { events: {} } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const headers = { authorization: `Bearer ${await logIn(app)}` }
  const streams = await Promise.all([1, 2].map(() => readEvents(t, `http://127.0.0.1:${port}`, headers)))
  t.equal(app.sessions.stats().openStreams, 2)
  for (const stream of streams) stream.close()
  await until(() => app.sessions.stats().openStreams === 0)
})

t.test('the cache counts its entries, hits and misses', async (t) => {
  const app = await createApp(t, { redis: await connectRedis(t), upstream, cache: true })
  const cacheStats = () => app.sessions.stats().cache
  t.strictSame(cacheStats(), { size: 0, hits: 0, misses: 0 })
  const token = await logIn(app)
  await until(async () => {
    await app.inject(withToken(token))
    return cacheStats()?.size === 1
  })
  const before = cacheStats() ?? { hits: 0, misses: 0 }
  await app.inject(withToken(token))
  await app.inject(withToken('garbage'))
  t.strictSame(cacheStats(), { size: 1, hits: before.hits + 1, misses: before.misses + 1 })
  t.not(cacheStats(), cacheStats(), 'each call gives an object of its own')
  await app.inject(logout(token))
  t.equal(cacheStats()?.size, 0)
})

t.test('a store of several servers is open while the circuit of any server is open', async (t) => {
  const { breaker: changes } = collectMessages(t, (fault) => t.fail(fault))
  const memory = createMemoryStore()
  const away = new Set<string>()
  const find: SessionStore['find'] = async (id) => (away.has(id) ? Promise.reject(new Error('down')) : memory.find(id))
  const guarded = createGuardedStore(
    { ...memory, find },
    {
      timeoutMs: 1_000,
      breaker: { failures: 1, probeAfterMs: 1, maxInFlight: 10 },
      partitionOf: (tag) => tag,
      log: { error() {}, info() {} }
    }
  )
  t.teardown(() => guarded.close())
  const [first, second] = [createSessionId('ada'), createSessionId('eve')]
  for (const id of [first, second]) {
    away.add(id)
    await t.rejects(guarded.find(id))
    t.equal(guarded.circuit.isOpen, true)
  }
  for (const id of [first, second]) {
    t.equal(guarded.circuit.isOpen, true)
    away.delete(id)
    await until(() =>
      guarded.find(id).then(
        (found) => found === null,
        () => false
      )
    )
  }
  t.equal(guarded.circuit.isOpen, false)
  t.strictSame(changes, [
    { of: 'store', state: 'open' },
    { of: 'store', state: 'closed' }
  ])
})
