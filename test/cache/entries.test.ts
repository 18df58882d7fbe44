import type { FastifyInstance } from 'fastify'
import t from 'tap'
import { NO_CACHE, SessionCache } from '../../lib/cache/session-cache.js'
import { verifySession } from '../../lib/index.js'
import { createApp, withToken } from '../fixtures/app.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { upstream } from '../fixtures/tokens.js'

/** A reading that the test settles. */
function createReading<Value>() {
  let settle = { resolve: (_value: Value) => {}, reject: (_error: Error) => {} }
  const promise = new Promise<Value>((resolve, reject) => {
    settle = { resolve, reject }
  })
  return { read: () => promise, ...settle }
}

const isCurrent = () => true
const read = (value: string) => async () => value

t.test('a session is cached until a change of the user', async (t) => {
  const cache = new SessionCache<string>(10, isCurrent)
  t.equal(await cache.load('token a', 'ada', read('A')), 'A')
  t.equal(await cache.load('token b', 'bob', read('B')), 'B')
  t.strictSame([cache.get('token a'), cache.get('token b'), cache.get('token c')], ['A', 'B', undefined])
  cache.forget('bob')
  t.strictSame([cache.get('token a'), cache.get('token b')], ['A', undefined])
  await cache.load('token b', 'bob', read('B2'))
  cache.forget(null)
  t.strictSame([cache.get('token a'), cache.get('token b')], [undefined, undefined])
})

t.test('a reading that began before a change is not stored, even beside a newer session of the user', async (t) => {
  for (const changed of ['ada', null]) {
    const cache = new SessionCache<string>(10, isCurrent)
    const slow = createReading<string>()
    const loading = cache.load('ended session', 'ada', slow.read)
    cache.forget(changed)
    await cache.load('live session', 'ada', read('live'))
    slow.resolve('the old record')
    t.equal(await loading, 'the old record')
    t.equal(cache.get('ended session'), undefined)
    t.equal(cache.get('live session'), 'live')
    cache.forget(changed)
    t.equal(cache.get('live session'), undefined, 'the slow reading has removed no entry')
  }
})

t.test('readings and entries count only while the tag of the user is tracked', async (t) => {
  let current = ['ada', 'bob']
  const cache = new SessionCache<string>(10, (tag) => current.includes(tag))
  await cache.load('token a', 'ada', read('A'))
  await cache.load('token b', 'bob', read('B'))
  current = ['bob']
  t.strictSame([cache.get('token a'), cache.get('token b')], [undefined, 'B'])
  t.equal(await cache.load('token a2', 'ada', read('A2')), 'A2')
  current = ['ada', 'bob']
  t.equal(cache.get('token a2'), undefined, 'a reading without tracking is not stored')
})

t.test('beyond maxEntries the least recently used token is dropped', async (t) => {
  const cache = new SessionCache<string>(2, isCurrent)
  for (const name of ['a', 'b']) await cache.load(`token ${name}`, 'ada', read(name))
  cache.get('token a')
  await cache.load('token c', 'bob', read('c'))
  t.strictSame(
    ['a', 'b', 'c'].map((name) => cache.get(`token ${name}`)),
    ['a', undefined, 'c']
  )
})

t.test('a rejection is passed on, and the next reading is stored', async (t) => {
  const cache = new SessionCache<string>(10, isCurrent)
  await t.rejects(
    cache.load('token', 'ada', () => Promise.reject(new Error('x'))),
    { message: 'x' }
  )
  t.strictSame([cache.get('token'), cache.size], [undefined, { users: 0, tokens: 0 }])
  await cache.load('token', 'ada', read('A'))
  t.equal(cache.get('token'), 'A')
})

t.test('the cache does not grow with the number of users', async (t) => {
  const cache = new SessionCache<string>(1, isCurrent)
  for (let i = 0; i < 100_000; i++) await cache.load(`signature-${i}`.padStart(20), `user-${i}`, read('x'))
  t.strictSame(cache.size, { users: 1, tokens: 1 })
})

t.test('the cache does not grow with failed readings, or with readings that a change has overtaken', async (t) => {
  const cache = new SessionCache<string>(10, isCurrent)
  for (let i = 0; i < 1_000; i++) {
    const { read, reject, resolve } = createReading<string>()
    const loading = [cache.load(`a${i}`, `user-${i}`, read), cache.load(`b${i}`, `user-${i}`, read)]
    if (i % 3 === 0) cache.forget(`user-${i}`)
    if (i % 2 === 0) cache.forget(null)
    if (i % 5 === 0) resolve('x')
    else reject(new Error('x'))
    await Promise.allSettled(loading)
    cache.forget(`user-${i}`)
  }
  t.strictSame(cache.size, { users: 0, tokens: 0 })
})

t.test('the cache does not grow with many readings of the same token', async (t) => {
  const cache = new SessionCache<string>(10, isCurrent)
  for (let i = 0; i < 1_000; i++) await Promise.all([1, 2].map(() => cache.load('the token', 'ada', read(`${i}`))))
  t.strictSame([cache.get('the token'), cache.size], ['999', { users: 1, tokens: 1 }])
  cache.forget('ada')
  t.strictSame([cache.get('the token'), cache.size], [undefined, { users: 0, tokens: 0 }])
})

t.test('two tokens with the same signature share an entry, and never get the other session', async (t) => {
  const cache = new SessionCache<string>(10, isCurrent)
  await cache.load('a.same-signature', 'ada', read('A'))
  t.equal(cache.get('b.same-signature'), undefined)
  await cache.load('b.same-signature', 'bob', read('B'))
  t.strictSame([cache.get('a.same-signature'), cache.get('b.same-signature')], [undefined, 'B'])
  t.strictSame(cache.size, { users: 1, tokens: 1 })
  cache.forget('ada')
  t.equal(cache.get('b.same-signature'), 'B')
})

t.test('without a cache every request reads the store', async (t) => {
  t.equal(NO_CACHE.get('token'), undefined)
  let reads = 0
  const count = async () => ++reads as never
  await NO_CACHE.load('token', 'ada', count)
  t.equal(await NO_CACHE.load('token', 'ada', count), 2)
})

t.test('an update in the handler of a cached session reaches the store', async (t) => {
  const redis = await connectRedis(t)
  const addRoutes = (app: FastifyInstance) =>
    app.put('/count', { preHandler: verifySession }, async ({ session }) => {
      const updated = await session.update({ count: Number(session.data.count ?? 0) + 1 })
      return updated?.data
    })
  const app = await createApp(t, { upstream, redis, cache: true }, {}, addRoutes)
  const { token, session } = await app.sessions.create({ id: 'ada' })
  const visit = () => app.inject(withToken(token))
  for (let i = 0; i < 3; i++) t.equal((await visit()).statusCode, 200)
  const answer = await app.inject(withToken(token, { method: 'PUT', url: '/count' }))
  t.strictSame(answer.json(), { count: 1 })
  t.strictSame((await app.sessions.find(session.id))?.data, { count: 1 })
})

t.test('removing a token from the middle of the order of use does not disturb the order', async (t) => {
  const cache = new SessionCache<string>(3, isCurrent)
  const names = ['a', 'b', 'c', 'd', 'e', 'f']
  const load = (name: string) => cache.load(`token ${name}`, `user ${name}`, read(name))
  for (const name of ['a', 'b', 'c']) await load(name)
  cache.forget('user b')
  for (const name of ['d', 'e', 'f']) await load(name)
  t.strictSame(
    names.filter((name) => cache.get(`token ${name}`) === name),
    ['d', 'e', 'f']
  )
  t.strictSame(cache.size, { users: 3, tokens: 3 })
})
