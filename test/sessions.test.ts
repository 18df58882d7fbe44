import { EventEmitter, once } from 'node:events'
import t, { type Test } from 'tap'
import { Type } from 'typebox'
import { createMemoryStore, createRedisStore, type SessionStore } from '../lib/index.js'
import { createApp, logIn, logout, withToken } from './fixtures/app.js'
import { connectRedis } from './fixtures/redis/start-redis.js'
import { until } from './fixtures/until.js'

const STORES: Record<string, (t: Test) => Promise<SessionStore>> = {
  memory: async () => createMemoryStore(),
  redis: async (t) => createRedisStore(await connectRedis(t))
}

const ODD_IDS = [
  'a:b',
  '*',
  '{x}',
  '}{',
  'a\r\nDEL b',
  '\0',
  '😀',
  '__proto__',
  'constructor',
  ' ',
  '0',
  'é',
  'e\u0301'
]

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`sessions in the ${name} store`, async (t) => {
    const store = await createStore(t)
    const app = await createApp(t, { store })

    t.test('belong to their user, whatever characters his id has', async (t) => {
      const tokens = new Map<string, string>()
      for (const id of ODD_IDS) tokens.set(id, await logIn(app, id))
      for (const [id, token] of tokens) t.equal((await app.inject(withToken(token))).json().user.id, id)
      await app.inject(logout(tokens.get('*') as string))
      for (const [id, token] of tokens) t.equal((await app.inject(withToken(token))).statusCode, id === '*' ? 401 : 200)
    })

    t.test('end alone: the other sessions of the user go on', async (t) => {
      const [one, two] = [await logIn(app), await logIn(app)]
      await app.inject(logout(one))
      t.equal((await app.inject(withToken(one))).statusCode, 401)
      t.equal((await app.inject(withToken(two))).statusCode, 200)
    })

    t.test('end on every instance at once', async (t) => {
      const other = await createApp(t, { store })
      const token = await logIn(app)
      t.equal((await other.inject(withToken(token))).statusCode, 200)
      t.equal((await app.inject(logout(token))).statusCode, 204)
      t.equal((await other.inject(withToken(token))).statusCode, 401)
    })

    t.test('expire, and say so', async (t) => {
      const brief = await createApp(t, { store, session: { ttlSeconds: 1 } })
      const startedAt = Date.now()
      const token = await logIn(brief)
      t.equal((await brief.inject(withToken(token))).statusCode, 200)
      await until(async () => (await brief.inject(withToken(token))).statusCode === 401)
      t.ok(Date.now() - startedAt >= 1_000, 'not before their time')
      t.equal((await brief.inject(withToken(token))).json().reason, 'expired')
    })

    t.test(
      'are not found when their record is corrupt, of another version, or of a user that fits no more',
      async (t) => {
        const { token, session } = await app.sessions.create({ id: 'ada' })
        const user = { id: 'ada' }
        const { createdAt: now, expiresAt: end } = session
        const good = [1, user, now, end, null, null]
        const replace = async (record: string) => {
          await store.delete(session.id)
          await store.create(session.id, record, 60_000)
          return app.inject(withToken(token))
        }
        t.equal((await replace(JSON.stringify(good))).statusCode, 200, 'a good one is found')
        const bad = [
          ...['', '{', 'null', '1', '"x"', '{}', '[]', '[1]', JSON.stringify(good).slice(0, -1)],
          ...[2, '1', null].map((version) => [version, user, now, end, null, null]),
          ...[null, {}, [], 'ada', { id: 1 }, { id: '' }].map((user) => [1, user, now, end, null, null]),
          ...[null, '1', 1.5, {}].flatMap((time) => [
            [1, user, time, end, null, null],
            [1, user, now, time, null, null]
          ]),
          [1, user, now, end, 5, null],
          [1, user, now, end, null, {}],
          [1, { id: 'somebody else' }, now, end, null, null]
        ]
        for (const record of bad) {
          const text = typeof record === 'string' ? record : JSON.stringify(record)
          const answer = await replace(text)
          t.match(answer.json(), { code: 'FST_JWT_SESSION_ENDED', reason: 'unknown' }, text)
        }
        t.equal((await replace(JSON.stringify([1, user, now, Date.now(), null, null]))).json().reason, 'expired')
      }
    )
  })
}

t.test('a session whose user no longer fits the schema of a new release is not found', async (t) => {
  const store = createMemoryStore()
  const before = await createApp(t, { store })
  const token = await logIn(before)
  const after = await createApp(t, { store, userSchema: Type.Object({ id: Type.String(), role: Type.String() }) })
  t.equal((await after.inject(withToken(token))).json().reason, 'unknown')
})

t.test('a store of the user that breaks its contract is "could not ask", never "ended"', async (t) => {
  const broken: Record<string, () => unknown> = {
    'rejects with nothing': () => Promise.reject(),
    'rejects with a string': () => Promise.reject('redis://user:hunter2@host'),
    'throws at once': () => {
      throw new Error('hunter2')
    },
    'never answers': () => new Promise(() => {})
  }
  for (const [how, find] of Object.entries(broken)) {
    const memory = createMemoryStore()
    const store = { ...memory, find: find as SessionStore['find'] }
    const app = await createApp(t, { store, storeTimeoutMs: 20 })
    const answer = await app.inject(withToken(await logIn(app)))
    t.equal(answer.statusCode, 503, how)
    t.notMatch(answer.body, /hunter2/)
  }
})

t.test('a login that was answered 503 is undone when the store has written it late', async (t) => {
  const memory = createMemoryStore()
  const written: string[] = []
  const slow = new EventEmitter()
  const create: SessionStore['create'] = async (id, record, ttlMs) => {
    await once(slow, 'release')
    await memory.create(id, record, ttlMs)
    written.push(id)
  }
  const app = await createApp(t, { store: { ...memory, create }, storeTimeoutMs: 20 })
  await t.rejects(logIn(app), /503/)
  slow.emit('release')
  await until(async () => written.length === 1 && (await memory.find(written[0] as string)) === null)
  t.pass('it is gone')
})
