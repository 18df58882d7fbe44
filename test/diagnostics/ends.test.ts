import t, { type Test } from 'tap'
import { createMemoryStore, type EndMessage, fastifyJwtSession, type JwtSessionOptions } from '../../lib/index.js'
import { logIn, logout, SECRET, withToken } from '../fixtures/app.js'
import { collectMessages } from '../fixtures/messages.js'
import { STORES } from '../fixtures/stores.js'
import { freezeClock, readPayload, upstream } from '../fixtures/tokens.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

const idOf = (token: string) => readPayload(token).jti as string
const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

async function createScene(t: Test, options: Partial<JwtSessionOptions>) {
  const { end } = collectMessages(t, (fault) => t.fail(fault))
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, routes: { sessions: {} }, ...options })
  await app.ready()
  return { app, ends: () => end.splice(0) }
}

for (const [name, createStore] of Object.entries(STORES)) {
  t.test(`each end has one message, with a store in ${name}`, async (t) => {
    const store = await createStore(t)
    const { app, ends } = await createScene(t, { store, session: { maxPerUser: 3 } })
    const [userId, revoked] = ['ada', 'revoked'] as const
    const first = await logIn(app)
    t.strictSame(ends(), [], 'a login ends no session')

    t.equal((await app.inject(logout(first))).statusCode, 204)
    t.strictSame(ends(), [{ reason: 'logged_out', by: 'logout', userId }])
    await app.inject(logout(first))
    await app.inject(logout('garbage'))
    await app.sessions.revoke(idOf(first))
    t.strictSame(ends(), [], 'a session ends once')

    await app.sessions.revoke(idOf(await logIn(app)))
    t.strictSame(ends(), [{ reason: revoked, by: 'revoke', userId }])

    const current = await logIn(app)
    const remove = async (path = '') =>
      (await app.inject(withToken(current, { method: 'DELETE', url: `/user/sessions${path}` }))).statusCode
    t.equal(await remove(`/${idOf(await logIn(app))}`), 204)
    t.strictSame(ends(), [{ reason: revoked, by: 'list', userId }])
    t.equal(await remove(`/${idOf(await logIn(app, 'eve'))}`), 404)
    t.strictSame(ends(), [])
    await logIn(app)
    await logIn(app)
    t.equal(await remove(), 204)
    t.strictSame(ends(), [{ reason: revoked, by: 'list', userId }], 'one message for all other sessions')
    await app.sessions.revokeAll('ada')
    t.strictSame(ends(), [{ reason: revoked, by: 'revoke', userId }])
  })

  t.test(`a login over the limit has one message for each ended session, with a store in ${name}`, async (t) => {
    const store = await createStore(t)
    const { app } = await createScene(t, { store, session: { maxPerUser: 4 } })
    const { app: strict, ends } = await createScene(t, { store, session: { maxPerUser: 2 } })
    for (let i = 0; i < 4; i++) await logIn(app)
    t.strictSame(ends(), [])
    await logIn(strict)
    const evicted = { reason: 'replaced', by: 'limit', userId: 'ada' }
    t.strictSame(ends(), [evicted, evicted, evicted])
  })

  t.test(`a login ends the session of its token, with a store in ${name}`, async (t) => {
    const withData = { login: async () => ({ user: { id: 'ada' }, data: { theme: 'dark' } }) }
    for (const source of [upstream, withData]) {
      const { app, ends } = await createScene(t, { store: await createStore(t), upstream: source })
      const again = { reason: 'logged_in_again', by: 'login', userId: 'ada' }
      const first = await logIn(app)
      const second = await logIn(app, 'ada', bearer(first))
      t.strictSame(ends(), [again])
      await logIn(app, 'ada', bearer(first))
      t.strictSame(ends(), [], 'the session had ended before')
      await logIn(app)
      await logIn(app, 'ada', bearer(second))
      t.strictSame(ends(), [again], 'beside other sessions of the user')
    }
    const { app, ends } = await createScene(t, { store: await createStore(t) })
    await logIn(app, 'eve', bearer(await logIn(app)))
    t.strictSame(ends(), [{ reason: 'logged_in_again', by: 'login', userId: 'ada' }], 'the session of another user')
  })
}

t.test(
  'the end of an expired session has no message, and a record without a readable user has no user id',
  async (t) => {
    const clock = freezeClock(t)
    const store = createMemoryStore()
    const { app, ends } = await createScene(t, { store, session: { idleTimeoutSeconds: 60 } })
    const idle = await logIn(app)
    clock.now += 61
    await app.inject(logout(idle))
    t.strictSame(ends(), [])

    const corrupt = await logIn(app)
    const found = await store.find(idOf(corrupt))
    t.ok(await store.replace(idOf(corrupt), found && 'record' in found ? found.record : '', 'a b c d'))
    await app.inject(logout(corrupt))
    t.strictSame(ends(), [{ reason: 'logged_out', by: 'logout' }])
  }
)

t.test('an end without an acknowledgement of the store has no message', async (t) => {
  const memory = createMemoryStore()
  const down = async () => Promise.reject(new Error('down'))
  const { app, ends } = await createScene(t, { store: { ...memory, end: down, endAll: down } })
  const token = await logIn(app)
  t.equal((await app.inject(logout(token))).statusCode, 503)
  await t.rejects(app.sessions.revokeAll('ada'))
  t.equal((await app.inject({ ...loginOf('eve'), headers: bearer(token) })).statusCode, 200)
  t.strictSame(ends(), [] satisfies EndMessage[])
})

function loginOf(username: string) {
  return { method: 'POST', url: '/user/login', payload: { username, password: 'any' } } as const
}
