import t from 'tap'
import { createMemoryStore } from '../../lib/index.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'

t.test('a logout ends the session even on an instance that rejects the token', async (t) => {
  const store = createMemoryStore()
  const app = await createApp(t, { store })
  const stricter = {
    issuer: await createApp(t, { store, jwt: { secret: SECRET, issuer: 'https://issuer.example' } })
  }
  for (const [option, other] of Object.entries(stricter)) {
    const token = await logIn(app)
    t.equal((await other.inject(withToken(token))).statusCode, 401, `${option}: the other instance rejects the token`)
    t.equal((await other.inject(logout(token))).statusCode, 204)
    t.equal((await app.inject(withToken(token))).statusCode, 401, `${option}: the session has ended on both instances`)
  }
})

t.test('a login ends the session of the request’s token even if the instance rejects the token', async (t) => {
  const store = createMemoryStore()
  const app = await createApp(t, { store })
  const other = await createApp(t, { store, jwt: { secret: SECRET, issuer: 'another' } })
  const token = await logIn(app)
  await logIn(other, 'ada', { authorization: `Bearer ${token}` })
  t.equal((await app.inject(withToken(token))).statusCode, 401)
})

t.test('a logout that notifies the upstream waits for the store at most storeTimeoutMs in total', async (t) => {
  const never = () => new Promise<never>(() => {})
  const slow = () => new Promise<null>((resolve) => setTimeout(resolve, 1_000, null))
  const store = { ...createMemoryStore(), find: slow, end: never }
  const upstream = { login: async () => ({ user: { id: 'ada' } }), logout: async () => {} }
  const app = await createApp(t, { store, upstream, storeTimeoutMs: 1_500 })
  const token = await logIn(app)
  const startedAt = Date.now()
  t.equal((await app.inject(logout(token))).statusCode, 503)
  t.ok(Date.now() - startedAt < 2_400)
})
