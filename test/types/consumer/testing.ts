// Tests of an app, with every helper.
import Fastify from 'fastify'
import fastifyJwtSession, { createMemoryStore, type UpstreamClient } from 'fastify-jwt-session'
import {
  type AssertEndedOptions,
  assertEnded,
  assertUnavailable,
  createFakeUpstream,
  createFaultyStore,
  type FakeUpstream,
  type FakeUpstreamCall,
  type FaultyStore,
  type LoginAsOptions,
  loginAs,
  type StoreFaults,
  type TestApp,
  type TestLogin
} from 'fastify-jwt-session/testing'
import { request } from 'undici-7'

const fake: FakeUpstream = createFakeUpstream({ users: [{ username: 'ada', password: 'lovelace' }], timeoutMs: 100 })
const upstream: UpstreamClient = fake
const store: FaultyStore = createFaultyStore()
const faults: StoreFaults = createFaultyStore(createMemoryStore())
const app = Fastify({ http2: true })
await app.register(fastifyJwtSession, {
  jwt: { secret: 'a secret of this test, 32 bytes or more' },
  upstream: process.env.HTTP ? { baseUrl: await fake.listen({ loginPath: '/in' }) } : upstream,
  store
})

const tested: TestApp = app
const options: LoginAsOptions = { data: { cart: [] }, createdAt: Date.now() - 1_000, lastSeenAt: Date.now() }
const login: TestLogin = await loginAs(tested, { id: '1', role: 'reader' }, options)
await login.end('expired')
const without: AssertEndedOptions = { clearSiteData: false }
assertEnded(await login.inject('/me'), 'expired', without)
await assertEnded(await fetch('http://127.0.0.1/me', { headers: login.headers }), 'expired')
await assertEnded(await request('http://127.0.0.1/me'), 'expired')
faults.fail('ECONNREFUSED')
faults.hang()
faults.slow(5)
faults.readOnly()
faults.heal()
assertUnavailable(await login.inject({ method: 'POST', url: '/me', payload: {} }))
const calls: FakeUpstreamCall[] = fake.calls
fake.reject(503)
fake.hang()
fake.heal()
await fake.close()
console.log(calls.map(({ operation, body, headers }) => [operation, body, headers['user-agent']]))
