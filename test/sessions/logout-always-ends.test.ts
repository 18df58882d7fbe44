import t from 'tap'
import { createMemoryStore } from '../../lib/index.js'
import { createApp, logIn, logout, SECRET, withToken } from '../fixtures/app.js'

t.test('a logout ends the session also on an instance that would refuse its token', async (t) => {
  const store = createMemoryStore()
  const app = await createApp(t, { store })
  const stricter = {
    issuer: await createApp(t, { store, jwt: { secret: SECRET, issuer: 'https://issuer.example' } })
  }
  for (const [option, other] of Object.entries(stricter)) {
    const token = await logIn(app)
    t.equal((await other.inject(withToken(token))).statusCode, 401, `${option}: it is refused there`)
    t.equal((await other.inject(logout(token))).statusCode, 204)
    t.equal((await app.inject(withToken(token))).statusCode, 401, `${option}: and has ended here too`)
  }
})

t.test('a login ends the session it came with also when it would refuse its token', async (t) => {
  const store = createMemoryStore()
  const app = await createApp(t, { store })
  const other = await createApp(t, { store, jwt: { secret: SECRET, issuer: 'another' } })
  const token = await logIn(app)
  await logIn(other, 'ada', { authorization: `Bearer ${token}` })
  t.equal((await app.inject(withToken(token))).statusCode, 401)
})

t.test('a logout whose upstream is notified keeps to one deadline of the store', async (t) => {
  const never = () => new Promise<never>(() => {})
  const slow = () => new Promise<null>((resolve) => setTimeout(resolve, 90, null))
  const store = { ...createMemoryStore(), find: slow, end: never }
  const upstream = { login: async () => ({ user: { id: 'ada' } }), logout: async () => {} }
  const app = await createApp(t, { store, upstream, storeTimeoutMs: 100 })
  const token = await logIn(app)
  const startedAt = Date.now()
  t.equal((await app.inject(logout(token))).statusCode, 503)
  t.ok(Date.now() - startedAt < 180)
})
