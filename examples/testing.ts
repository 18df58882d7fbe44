import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import Fastify from 'fastify'
import fastifyJwtSession, { type JwtSessionOptions, verifySession } from 'fastify-jwt-session'
import {
  assertEnded,
  assertUnavailable,
  createFakeUpstream,
  createFaultyStore,
  loginAs
} from 'fastify-jwt-session/testing'

/** The app under test. In production it gets another upstream, and `redis`. */
function createApp(options: Pick<JwtSessionOptions, 'upstream' | 'store'>) {
  const app = Fastify()
  app.register(fastifyJwtSession, { jwt: { secret: randomBytes(32) }, ...options })
  app.get('/orders', { preHandler: verifySession }, async ({ session }) => ({ ordersOf: session.user.id }))
  return app
}

const user = { id: '1', name: 'Ada' }
const upstream = createFakeUpstream({ users: [{ ...user, username: 'ada', password: 'lovelace' }] })
const store = createFaultyStore()
const app = createApp({ upstream, store })

test('orders need a session', async () => {
  assert.equal((await app.inject('/orders')).statusCode, 401)
  const ada = await loginAs(app, user)
  assert.deepEqual((await ada.inject('/orders')).json(), { ordersOf: '1' })
})

test('a client learns that its session has ended', async () => {
  const ada = await loginAs(app, user)
  await ada.end('revoked')
  assertEnded(await ada.inject('/orders'), 'revoked')
})

test('an outage of the store ends no session', async () => {
  const ada = await loginAs(app, user)
  store.fail('ECONNREFUSED')
  assertUnavailable(await ada.inject('/orders'))
  store.heal()
  assert.equal((await ada.inject('/orders')).statusCode, 200)
})

test('a login needs the password, and the upstream', async () => {
  const logIn = async (password: string) => {
    const payload = { username: 'ada', password }
    return (await app.inject({ method: 'POST', url: '/user/login', payload })).statusCode
  }
  assert.equal(await logIn('lovelace'), 200)
  assert.equal(await logIn('byron'), 401)
  upstream.reject(503)
  assert.equal(await logIn('lovelace'), 503)
  upstream.heal()
})
