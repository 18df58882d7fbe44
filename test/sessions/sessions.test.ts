import { EventEmitter, once } from 'node:events'
import t from 'tap'
import { createMemoryStore, type SessionStore } from '../../lib/index.js'
import { createApp, logIn, logout, onceNotified, withToken } from '../fixtures/app.js'
import { STORES } from '../fixtures/stores.js'
import { until } from '../fixtures/until.js'

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
  t.test(`sessions work in the ${name} store:`, async (t) => {
    const store = await createStore(t)
    const app = await createApp(t, { store })

    t.test('a session belongs to the user, whatever characters the user id has', async (t) => {
      const tokens = new Map<string, string>()
      for (const id of ODD_IDS) tokens.set(id, await logIn(app, id))
      for (const [id, token] of tokens) t.equal((await app.inject(withToken(token))).json().user.id, id)
      await app.inject(logout(tokens.get('*') as string))
      for (const [id, token] of tokens) t.equal((await app.inject(withToken(token))).statusCode, id === '*' ? 401 : 200)
    })

    t.test('a logout ends no other session of the user', async (t) => {
      const [one, two] = [await logIn(app), await logIn(app)]
      await app.inject(logout(one))
      t.equal((await app.inject(withToken(one))).statusCode, 401)
      t.equal((await app.inject(withToken(two))).statusCode, 200)
    })

    t.test('a session ends on every instance at once', async (t) => {
      const other = await createApp(t, { store })
      const token = await logIn(app)
      t.equal((await other.inject(withToken(token))).statusCode, 200)
      t.equal((await app.inject(logout(token))).statusCode, 204)
      t.equal((await app.inject(withToken(token))).statusCode, 401)
      t.equal((await onceNotified(() => other.inject(withToken(token)))).statusCode, 401)
    })

    t.test('a session expires with the reason "expired"', async (t) => {
      const brief = await createApp(t, { store, session: { ttlSeconds: 1 } })
      const startedAt = Date.now()
      const token = await logIn(brief)
      t.equal((await brief.inject(withToken(token))).statusCode, 200)
      await until(async () => (await brief.inject(withToken(token))).statusCode === 401)
      t.ok(Date.now() - startedAt >= 1_000, 'the session has not expired early')
      t.equal((await brief.inject(withToken(token))).json().reason, 'expired')
    })
  })
}

t.test('a store of the application that breaks the contract causes a 503, and ends no session', async (t) => {
  const broken: Record<string, () => unknown> = {
    'rejects with undefined': () => Promise.reject(),
    'rejects with a string': () => Promise.reject('redis://user:hunter2@host'),
    'throws an error': () => {
      throw new Error('hunter2')
    },
    'never replies': () => new Promise(() => {}),
    ...Object.fromEntries(
      [undefined, '', 'QUEUED', 'OK', 0, 1, true, Buffer.from('x'), [], {}, { record: '' }, { ended: 'evil' }].map(
        (reply) => [`replies ${JSON.stringify(reply)}`, async () => reply]
      )
    )
  }
  for (const [how, find] of Object.entries(broken)) {
    const memory = createMemoryStore()
    const store = { ...memory, find: find as SessionStore['find'] }
    const app = await createApp(t, { store, storeTimeoutMs: 1_000 })
    const answer = await app.inject(withToken(await logIn(app)))
    t.equal(answer.statusCode, 503, how)
    t.notMatch(answer.body, /hunter2/)
  }
})

t.test('a login that was answered 503 is undone when the store writes the session late', async (t) => {
  const memory = createMemoryStore()
  const written: string[] = []
  const slow = new EventEmitter()
  const create: SessionStore['create'] = async (...args) => {
    await once(slow, 'release')
    written.push(args[0])
    return memory.create(...args)
  }
  const app = await createApp(t, { store: { ...memory, create }, storeTimeoutMs: 20 })
  await t.rejects(logIn(app), /503/)
  slow.emit('release')
  await until(async () => written.length === 1)
  await until(async () => {
    const found = await memory.find(written[0] as string)
    return found !== null && 'ended' in found && found.ended === 'revoked'
  })
  t.strictSame(await app.sessions.list('ada'), [])
})
