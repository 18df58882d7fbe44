import Fastify, { type InjectOptions, type LightMyRequestResponse } from 'fastify'
import type { Redis } from 'ioredis'
import { describe, expect, test } from 'tstyche'
import { request } from 'undici'
import fastifyJwtSession, {
  createRedisStore,
  type JwtSessionOptions,
  type Session,
  type SessionEndReason,
  type SessionStore,
  type UpstreamClient
} from '../../../lib/index.js'
import {
  assertEnded,
  assertUnavailable,
  createFakeUpstream,
  createFaultyStore,
  loginAs,
  type StoreFaults
} from '../../../lib/testing/index.js'

const jwt = { secret: 'x'.repeat(32) }

describe('loginAs()', () => {
  test('takes an app of any kind, and a scope', () => {
    const user = { id: '1' }
    expect(loginAs).type.toBeCallableWith(Fastify(), user)
    expect(loginAs).type.toBeCallableWith(Fastify({ http2: true }), user)
    expect(loginAs).type.toBeCallableWith(Fastify({ https: {} }), user)
    expect(loginAs).type.toBeCallableWith(Fastify({ loggerInstance: console as never }), user)
    Fastify().register(async (scope) => {
      expect(loginAs).type.toBeCallableWith(scope, user)
    })
    expect(loginAs).type.not.toBeCallableWith({}, user)
  })

  test('takes the details of a session and its times, and nothing else', () => {
    const app = Fastify()
    expect(loginAs).type.toBeCallableWith(app, { id: '1' }, {})
    const details = { data: { cart: [] }, ip: '::1', userAgent: 'a test', ttlSeconds: 1 }
    expect(loginAs).type.toBeCallableWith(app, { id: '1' }, { ...details, createdAt: 1, lastSeenAt: 1 })
    expect(loginAs).type.not.toBeCallableWith(app, { id: '1' }, { createdAt: new Date() })
    expect(loginAs).type.not.toBeCallableWith(app, { id: '1' }, { created: 1 })
    expect(loginAs).type.not.toBeCallableWith(app, { id: 1 })
    expect(loginAs).type.not.toBeCallableWith(app)
  })

  test('resolves to a session with its requests', async () => {
    const login = await loginAs(Fastify(), { id: '1' })
    expect(login.token).type.toBe<string>()
    expect(login.session).type.toBe<Session>()
    expect(login.headers).type.toBeAssignableTo<InjectOptions['headers']>()
    expect(fetch).type.toBeCallableWith('/', { headers: login.headers })
    expect(login.inject('/me')).type.toBe<Promise<LightMyRequestResponse>>()
    expect(login.inject).type.toBeCallableWith({ method: 'POST' as const, url: '/me', payload: { a: 1 } })
    expect<Parameters<typeof login.end>>().type.toBe<[reason: SessionEndReason]>()
    expect(login).type.not.toHaveProperty('app')
  })
})

describe('the doubles', () => {
  test('are the options of the plugin', () => {
    const app = Fastify()
    const upstream = createFakeUpstream({
      users: [{ id: 1, username: 'ada', password: 'b', role: 'admin' }],
      timeoutMs: 1
    })
    expect(upstream).type.toBeAssignableTo<UpstreamClient>()
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, store: createFaultyStore() })
    expect(createFakeUpstream).type.toBeCallableWith()
    expect(createFakeUpstream).type.not.toBeCallableWith({ users: [{ username: 'ada' }] })
    expect(createFakeUpstream).type.not.toBeCallableWith({ users: { ada: 'b' } })
    expect(upstream.reject).type.not.toBeCallableWith('503')
    expect(upstream.calls[0]?.operation).type.toBe<'login' | 'register' | 'logout' | undefined>()
    expect(upstream.listen()).type.toBe<Promise<string>>()
    const http: JwtSessionOptions['upstream'] = { baseUrl: '' }
    expect(http).type.toBeAssignableTo<JwtSessionOptions['upstream']>()
  })

  test('keep the methods of the store that they wrap', () => {
    expect(createFaultyStore()).type.toBeAssignableTo<SessionStore & StoreFaults & { close(): void }>()
    expect(createFaultyStore(createRedisStore(null as unknown as Redis))).type.toBe<SessionStore & StoreFaults>()
    const own = null as unknown as SessionStore & { size: number }
    expect(createFaultyStore(own).size).type.toBe<number>()
    expect(createFaultyStore).type.not.toBeCallableWith({})
    expect(createFaultyStore().fail).type.not.toBeCallableWith()
    expect(createFaultyStore().slow).type.not.toBeCallableWith('1')
  })
})

describe('the assertions', () => {
  test('are over at once for app.inject(), and promises over the network', async () => {
    const injected = await Fastify().inject('/')
    expect(assertEnded(injected, 'revoked')).type.toBe<void>()
    expect(assertUnavailable(injected)).type.toBe<void>()
    const fetched = await fetch('/')
    expect(assertEnded(fetched, 'expired')).type.toBe<Promise<void>>()
    expect(assertUnavailable(fetched)).type.toBe<Promise<void>>()
    const requested = await request('/')
    expect(assertEnded(requested, 'unknown', { clearSiteData: false })).type.toBe<Promise<void>>()
    expect(assertUnavailable(requested)).type.toBe<Promise<void>>()
  })

  test('take a reason of the plugin, and a response', () => {
    const injected = null as unknown as LightMyRequestResponse
    expect(assertEnded).type.not.toBeCallableWith(injected, 'revokd')
    expect(assertEnded).type.not.toBeCallableWith(injected)
    expect(assertUnavailable).type.not.toBeCallableWith(fetch('/'))
    expect(assertUnavailable).type.not.toBeCallableWith({})
  })
})
