import fastifyRedis from '@fastify/redis'
import Fastify from 'fastify'
import type { Cluster, Redis } from 'ioredis'
import { describe, expect, test } from 'tstyche'
import { Type } from 'typebox'
import { Agent, type MockAgent, type Pool } from 'undici'
import fastifyJwtSession, {
  createMemoryStore,
  createRedisStore,
  type JwtSessionOptions,
  type Session,
  type Sessions,
  type UpstreamClient,
  type VerifySession,
  verifySession
} from '../../../lib/index.js'

const app = Fastify()
const jwt = { secret: 'x'.repeat(32) }
const upstream = { baseUrl: 'https://api.internal.example' }

describe('register()', () => {
  test('takes the options of the contract', () => {
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, prefix: '/auth' })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, {
      jwt: { secret: [Buffer.alloc(32), 'x'], issuer: 'i', audience: 'a', claims: () => ({ role: 'admin' }) },
      upstream: { ...upstream, dispatcher: new Agent(), forwardHeaders: ['accept-language'], timeoutMs: 1 },
      userSchema: Type.Object({ id: Type.String(), name: Type.String() }),
      session: { ttlSeconds: 60 },
      routes: { prefix: '/auth', login: { path: '/in' }, register: false, logout: { path: '/out' } },
      storeTimeoutMs: 100,
      clearSiteData: ['storage', 'cookies']
    })
  })

  test('refuses what the contract does not name', () => {
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession)
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {})
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt: { secret: 5 }, upstream })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt: {}, upstream })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, unknown: true })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, session: { ttl: 5 } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, clearSiteData: ['cookie'] })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream: { baseUrl: 5 } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, routes: { login: true } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: 'redis://127.0.0.1' })
  })

  test('takes every client that can be injected', () => {
    app.register(fastifyRedis)
    expect<JwtSessionOptions['redis']>().type.toBeAssignableFrom(app.redis)
    expect<JwtSessionOptions['redis']>().type.toBeAssignableFrom<Redis>()
    expect<JwtSessionOptions['redis']>().type.toBeAssignableFrom<Cluster>()
    expect<JwtSessionOptions['redis']>().type.toBeAssignableFrom({ url: 'redis://127.0.0.1', family: 4 })
    expect<JwtSessionOptions['store']>().type.toBeAssignableFrom(createMemoryStore())
    expect(createRedisStore).type.toBeCallableWith(app.redis)
    expect<{ baseUrl: string; dispatcher: Pool }>().type.toBeAssignableTo<JwtSessionOptions['upstream']>()
    expect<{ baseUrl: string; dispatcher: MockAgent }>().type.toBeAssignableTo<JwtSessionOptions['upstream']>()
    expect<UpstreamClient>().type.toBeAssignableTo<JwtSessionOptions['upstream']>()
  })
})

describe('what the plugin decorates', () => {
  test('is typed', () => {
    expect(app.verifySession).type.toBe<VerifySession>()
    expect(app.sessions).type.toBe<Sessions>()
    expect(app.get).type.toBeCallableWith('/me', { preHandler: app.verifySession }, async () => {})
    expect(app.get).type.toBeCallableWith('/me', { preHandler: [verifySession] }, async () => {})
    const secure = Fastify({ http2: true })
    expect(secure.get).type.toBeCallableWith('/me', { preHandler: verifySession }, async () => {})
    app.get('/me', { preHandler: verifySession }, async (request) => {
      expect(request.session).type.toBe<Session>()
      expect(request.session.user.id).type.toBe<string>()
      expect(request.session.user).type.not.toHaveProperty('name')
    })
  })
})
