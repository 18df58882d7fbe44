import { setImmediate } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import t, { type Test } from 'tap'
import {
  createMemoryStore,
  createRedisStore,
  fastifyJwtSession,
  type SessionStore,
  type VerifyMessage,
  verifySession
} from '../../lib/index.js'
import { logIn, SECRET, withToken } from '../fixtures/app.js'
import { COOKIE } from '../fixtures/cookie-app.js'
import { createGate } from '../fixtures/create-gate.js'
import { createHost } from '../fixtures/host.js'
import { collectMessages } from '../fixtures/messages.js'
import { connectRedis } from '../fixtures/redis/start-redis.js'
import { freezeClock, upstream } from '../fixtures/tokens.js'
import { until } from '../fixtures/until.js'
import { createWatchedFastify } from '../fixtures/watched-fastify.js'

/** A guarded app with a store that fails on command, and the messages of `verify`. */
async function createScene(t: Test, kept: SessionStore = createMemoryStore(), cache = false) {
  const state: { isDown: boolean; record?: string | undefined; wait?: Promise<void> } = { isDown: false }
  const store: SessionStore = {
    ...kept,
    async find(id) {
      await state.wait
      if (state.isDown) throw new Error('The store is down')
      return state.record === undefined ? kept.find(id) : { record: state.record }
    }
  }
  const { verify } = collectMessages(t, (fault) => t.fail(fault))
  const app = createWatchedFastify(t)
  await app.register(fastifyJwtSession, { jwt: { secret: SECRET }, upstream, store, cache, cookie: {} })
  const handler = async () => `${verify.length} message so far`
  app.get('/orders/:id', { preHandler: verifySession }, handler)
  app.post('/orders', { preHandler: verifySession }, handler)
  app.get('/fresh', { preHandler: verifySession, config: { session: { freshSeconds: 60 } } }, handler)
  app.get('/optional', { preHandler: verifySession, config: { session: { optional: true } } }, handler)
  app.get('/twice', { onRequest: verifySession, preHandler: verifySession }, handler)
  app.register(async (scope) => {
    scope.addHook('onRequest', verifySession)
    scope.get('/scope/:name', handler)
    scope.get('/scope/open', { config: { session: false } }, handler)
    scope.setNotFoundHandler(async () => 'not found')
  })
  await app.ready()
  const { token, session } = await app.sessions.create({ id: 'ada' })
  return { app, state, token, session, verify, messages: () => verify.splice(0) }
}

const without = (messages: VerifyMessage[]) => messages.map(({ durationMs, ...message }) => message)

t.test('each verification of the guard has one message, with the pattern of the route', async (t) => {
  const { app, state, token, session, messages } = await createScene(t)
  const visit = async (url: string, headers: Record<string, string> = {}) => {
    const { statusCode } = await app.inject({ url, headers })
    return [statusCode, ...without(messages())]
  }
  const bearer = { authorization: `Bearer ${token}` }
  const route = '/orders/:id'
  const url = '/orders/7?token=secret'
  t.strictSame(await visit(url, bearer), [200, { outcome: 'ok', cached: false, route }])
  t.strictSame(await visit(url), [401, { outcome: 'missing', cached: false, route }])
  t.strictSame(await visit(url, { authorization: 'Bearer garbage' }), [
    401,
    { outcome: 'ended', reason: 'invalid_token', cached: false, route }
  ])
  t.strictSame(await visit('/scope/ada', bearer), [200, { outcome: 'ok', cached: false, route: '/scope/:name' }])
  t.strictSame(await visit('/scope/open', bearer), [200], 'an exempt route verifies nothing')
  t.strictSame(await visit('/nowhere/7', bearer), [200, { outcome: 'ok', cached: false, route: null }])
  t.strictSame(await visit('/nowhere/7'), [401, { outcome: 'missing', cached: false, route: null }])
  t.strictSame(await visit('/optional', bearer), [200, { outcome: 'ok', cached: false, route: '/optional' }])
  t.strictSame(await visit('/optional'), [200], 'without credentials an optional route verifies nothing')
  t.strictSame(await visit('/optional', { authorization: 'Bearer x' }), [
    401,
    { outcome: 'ended', reason: 'invalid_token', cached: false, route: '/optional' }
  ])

  state.isDown = true
  t.strictSame(await visit(url, bearer), [503, { outcome: 'unavailable', cached: false, route }])
  state.isDown = false
  state.record = 'a b c d'
  t.strictSame(await visit(url, bearer), [401, { outcome: 'login_needed', cached: false, route }])
  state.record = undefined
  await app.sessions.revoke(session.id)
  t.strictSame(await visit(url, bearer), [401, { outcome: 'ended', reason: 'revoked', cached: false, route }])
})

t.test('a write by the cookie from a page of another origin is an outcome too', async (t) => {
  const { app, token, messages } = await createScene(t)
  const headers = { cookie: `${COOKIE}=${token}`, 'sec-fetch-site': 'cross-site' }
  t.equal((await app.inject({ method: 'POST', url: '/orders', headers })).statusCode, 403)
  t.strictSame(without(messages()), [{ outcome: 'cross_site', cached: false, route: '/orders' }])
})

t.test('a login that is too old for the route is an outcome, also of a cached session', async (t) => {
  const clock = freezeClock(t)
  const kept = createRedisStore(await connectRedis(t))
  const { app, token, messages } = await createScene(t, kept, true)
  const visit = async () => {
    await app.inject(withToken(token, { url: '/fresh' }))
    return without(messages())
  }
  t.match(await visit(), [{ outcome: 'ok', route: '/fresh' }])
  await until(async () => (await visit())[0]?.cached === true)
  clock.now += 61
  t.strictSame(await visit(), [{ outcome: 'not_fresh', cached: true, route: '/fresh' }])
  await app.sessions.update((await app.sessions.list('ada'))[0]?.id ?? '', { a: 1 })
  t.strictSame(await visit(), [{ outcome: 'not_fresh', cached: false, route: '/fresh' }])
})

t.test('the message comes before the handler, with the time that the store took', async (t) => {
  const { app, state, token, verify } = await createScene(t)
  const gate = createGate()
  state.wait = gate.opened
  const answer = app.inject(withToken(token, { url: '/orders/7' }))
  await setImmediate()
  t.strictSame(verify, [], 'there is no outcome yet')
  const before = performance.now()
  gate.open()
  t.equal((await answer).body, '1 message so far')
  t.ok((verify[0]?.durationMs ?? 0) > 0 && (verify[0]?.durationMs ?? 0) < performance.now() - before + 10_000)
})

t.test('each call of the guard is a verification', async (t) => {
  const { app, token, messages } = await createScene(t)
  await app.inject(withToken(token, { url: '/twice' }))
  t.match(messages(), [{ outcome: 'ok' }, { outcome: 'ok' }])
  await app.inject('/twice')
  t.match(messages(), [{ outcome: 'missing' }])
})

t.test('app.sessions.verify() has messages without a route', async (t) => {
  const kept = createRedisStore(await connectRedis(t))
  const { app, token, messages } = await createScene(t, kept, true)
  await app.sessions.verify(token)
  t.strictSame(without(messages()), [{ outcome: 'ok', cached: false, route: null }])
  await until(async () => {
    await app.sessions.verify(token)
    return messages()[0]?.cached === true
  })
  await t.rejects(app.sessions.verify('garbage'))
  await t.rejects(app.sessions.verify(undefined as unknown as string))
  const refused = { outcome: 'ended', reason: 'invalid_token', cached: false, route: null }
  t.strictSame(without(messages()), [refused, refused])
})

t.test('a misconfigured route has no message: nothing was verified', async (t) => {
  const { verify } = collectMessages(t, (fault) => t.fail(fault))
  const config = { session: { freshSeconds: 'soon' as unknown as number } }
  const before = (app: FastifyInstance) => app.get('/wrong', { config, preHandler: verifySession }, async () => 'in')
  const { app } = await createHost(t, { before })
  const token = await logIn(app)
  t.equal((await app.inject(withToken(token, { url: '/wrong' }))).statusCode, 500)
  t.strictSame(verify, [])
})
