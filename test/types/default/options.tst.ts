import fastifyRedis from '@fastify/redis'
import Fastify, { type FastifyContextConfig } from 'fastify'
import type { Cluster, Redis } from 'ioredis'
import { describe, expect, test } from 'tstyche'
import { Type } from 'typebox'
import { Agent, type MockAgent, type Pool } from 'undici'
import fastifyJwtSession, {
  createMemoryStore,
  createRedisStore,
  type JwtSessionOptions,
  type LogInAnswer,
  type RequestSession,
  type RouteOptions,
  type Session,
  type SessionRouteSettings,
  type Sessions,
  type UpstreamClient,
  type VerifySession,
  verifySession
} from '../../../lib/index.js'

const app = Fastify()
const jwt = { secret: 'x'.repeat(32) }
const upstream = { baseUrl: 'https://api.internal.example' }

describe('register()', () => {
  test('register() accepts the options of the contract', () => {
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, prefix: '/auth' })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, {
      jwt: { secret: [Buffer.alloc(32), 'x'], issuer: 'i', audience: 'a', claims: () => ({ role: 'admin' }) },
      upstream: { ...upstream, dispatcher: new Agent(), forwardHeaders: ['accept-language'], timeoutMs: 1 },
      userSchema: Type.Object({ id: Type.String(), name: Type.String() }),
      session: { ttlSeconds: 60, idleTimeoutSeconds: 30, maxPerUser: 5, onMaxPerUser: 'reject' },
      routes: {
        ...{ prefix: '/auth', login: { path: '/in' }, register: false, logout: { path: '/out' } },
        ...{ session: { path: '/who' }, sessions: {} }
      },
      storeTimeoutMs: 100,
      clearSiteData: ['storage', 'cookies']
    })
  })

  test('register() rejects options outside of the contract', () => {
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession)
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {})
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt: { secret: 5 }, upstream })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt: {}, upstream })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, unknown: true })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, session: { ttl: 5 } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, clearSiteData: ['cookie'] })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream: { baseUrl: 5 } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, routes: { login: true } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: 'redis://127.0.0.1' })
  })

  test('register() accepts `cookie` with attributes, or false', () => {
    const cookie = { name: '__Host-id', sameSite: 'strict', persistent: false, origins: ['https://a.example'] } as const
    for (const choice of [cookie, {}, false, undefined] as const) {
      expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, cookie: choice })
    }
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, cookie: true })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, cookie: { sameSite: 'none' } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, cookie: { secure: false } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, cookie: { origins: '*' } })
  })

  test('register() accepts options with and without an upstream, whatever the routes', () => {
    for (const secret of [new Uint8Array(32), [new Uint8Array(32), 'text']]) {
      expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt: { secret }, upstream })
    }
    const none = { login: false, register: false } as const
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, routes: none })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, routes: none })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, routes: { login: false } })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream: undefined, routes: none })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: undefined })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, store: undefined })
  })

  test('the options are one interface, for Partial<>, spreads and interfaces of an application', () => {
    interface AppOptions extends JwtSessionOptions {
      port: number
    }
    const { port, ...own }: AppOptions = { port: 1, jwt, upstream }
    expect(port).type.toBe<number>()
    expect(own).type.toBeAssignableTo<JwtSessionOptions>()
    const some: Partial<JwtSessionOptions> = { routes: { login: false } }
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, ...some })
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { ...some, ...own })
    const routes: Pick<JwtSessionOptions, 'jwt' | 'routes'> = { jwt, routes: { login: false, register: false } }
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, routes)
    const isOpen = Boolean(process.env.OPEN)
    const login = isOpen ? undefined : (false as const)
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, routes: { login } })
  })

  test('register() accepts only the documented forms of the lifetimes, the limit and the routes', () => {
    type Session = NonNullable<JwtSessionOptions['session']>
    expect<Session['idleTimeoutSeconds']>().type.toBe<number | false | undefined>()
    expect<Session['maxPerUser']>().type.toBe<number | undefined>()
    expect<Session['onMaxPerUser']>().type.toBe<'evict-oldest' | 'reject' | undefined>()
    type Routes = NonNullable<JwtSessionOptions['routes']>
    for (const name of ['session', 'sessions'] as const) {
      expect<Routes[typeof name]>().type.toBe<RouteOptions | false | undefined>()
    }
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, session: { maxPerUsers: 5 } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, routes: { sessions: true } })
    const security = [{ bearerAuth: [] }]
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, routes: { security } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {
      jwt,
      upstream,
      routes: { security: ['bearer'] }
    })
  })

  test('register() accepts every client that can be injected', () => {
    app.register(fastifyRedis)
    expect<JwtSessionOptions['redis']>().type.toBeAssignableFrom(app.redis)
    expect<JwtSessionOptions['redis']>().type.toBeAssignableFrom<Redis>()
    expect<JwtSessionOptions['redis']>().type.toBeAssignableFrom<Cluster>()
    expect<JwtSessionOptions['store']>().type.toBeAssignableFrom(createMemoryStore())
    expect(createRedisStore).type.toBeCallableWith(app.redis)
    expect<{ baseUrl: string; dispatcher: Pool }>().type.toBeAssignableTo<JwtSessionOptions['upstream']>()
    expect<{ baseUrl: string; dispatcher: MockAgent }>().type.toBeAssignableTo<JwtSessionOptions['upstream']>()
    expect<UpstreamClient>().type.toBeAssignableTo<JwtSessionOptions['upstream']>()
  })

  test('register() accepts the options of ioredis and rejects a misspelled option', () => {
    const url = 'redis://127.0.0.1'
    const env = { url: process.env.REDIS_URL, password: process.env.REDIS_PASSWORD, keyPrefix: 'app:' }
    const sentinels = [{ host: '10.0.0.1', port: 26_379 }]
    const tls = { ca: 'a certificate' }
    for (const redis of [{ url, family: 4 }, { host: '127.0.0.1', db: 3, tls }, { path: '/run/redis.sock' }, env]) {
      expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis })
    }
    const named = { sentinels, name: 'main', sentinelPassword: 'x', failoverDetector: true, natMap: {} }
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: named })
    const ofProgram = {
      commandTimeout: 100,
      retryStrategy: () => null,
      reconnectOnError: () => true,
      clientInfoTag: 'x'
    }
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: { url, ...ofProgram } })

    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {
      jwt,
      upstream,
      redis: { url, comandTimeout: 5 }
    })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: { url, db: '3' } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: { urls: [url] } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, { jwt, upstream, redis: { url, namespace: 'a' } })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {
      jwt,
      upstream,
      redis: { url, closeClient: true }
    })
  })
})

describe('the decorators of the plugin', () => {
  test('the decorators of the plugin are typed', () => {
    expect(app.verifySession).type.toBe<VerifySession>()
    expect(verifySession).type.toBe<VerifySession>()
    expect(app.get).type.toBeCallableWith('/open', { config: { session: false } }, async () => {})
    app.addHook('onRequest', verifySession)
    app.addHook('preParsing', verifySession)
    app.addHook('preHandler', (request, reply, done) => {
      expect(app.verifySession(request, reply)).type.toBe<Promise<void>>()
      expect(verifySession(request, reply, done)).type.toBe<void>()
    })
    expect(app.sessions).type.toBe<Sessions>()
    expect(app.get).type.toBeCallableWith('/me', { preHandler: app.verifySession }, async () => {})
    expect(app.get).type.toBeCallableWith('/me', { preHandler: [verifySession] }, async () => {})
    const secure = Fastify({ http2: true })
    expect(secure.get).type.toBeCallableWith('/me', { preHandler: verifySession }, async () => {})
    app.get('/me', { preHandler: verifySession }, async (request) => {
      expect(request.session).type.toBe<RequestSession>()
      expect(request.session).type.toBeAssignableTo<Session>()
      expect(request.session.user.id).type.toBe<string>()
      expect(request.session.user).type.not.toHaveProperty('name')
    })
  })
})

describe('app.sessions', () => {
  test('app.sessions creates, finds, lists and ends sessions', () => {
    const { create, find, list, revoke, revokeAll, isReady } = app.sessions
    expect(create).type.toBeCallableWith({ id: 'ada' })
    expect(create).type.toBeCallableWith({ id: 'ada' }, { ip: undefined, userAgent: 'x' })
    expect(create({ id: 'ada' })).type.toBe<Promise<{ token: string; session: Session }>>()
    expect(find('id')).type.toBe<Promise<Session | null>>()
    expect(list('ada')).type.toBe<Promise<Session[]>>()
    expect(revoke('id')).type.toBe<Promise<void>>()
    expect(revokeAll('ada')).type.toBe<Promise<void>>()
    expect(revokeAll).type.toBeCallableWith('ada', {})
    expect(revokeAll).type.toBeCallableWith('ada', { exceptId: undefined as string | undefined })
    expect(isReady()).type.toBe<Promise<boolean>>()
  })

  test('a login is answered with a token, or with a cookie', async () => {
    const answer = {} as LogInAnswer
    expect(answer.token_type).type.toBe<'Bearer' | 'Cookie'>()
    expect(answer).type.not.toHaveProperty('access_token')
    if (answer.token_type === 'Bearer') expect(answer.access_token).type.toBe<string>()
  })

  test('list() and revokeAll() accept the id of a user, and never a number', () => {
    expect(app.sessions.list).type.not.toBeCallableWith(1)
    expect(app.sessions.list).type.not.toBeCallableWith()
    expect(app.sessions.revokeAll).type.not.toBeCallableWith({ id: 'ada' })
    expect(app.sessions.revokeAll).type.not.toBeCallableWith('ada', 'id')
    expect(app.sessions.revokeAll).type.not.toBeCallableWith('ada', { except: 'id' })
  })

  test('app.sessions has no method that only the routes may call', () => {
    expect(app.sessions).type.not.toHaveProperty('extend')
    expect(app.sessions).type.not.toHaveProperty('end')
  })
})

describe('a session', () => {
  test('a session is read-only', () => {
    expect<Pick<Session, 'id' | 'expiresAt' | 'ip'>>().type.toBe<{
      readonly id: string
      readonly expiresAt: number
      readonly ip: string | null
    }>()
    expect<Pick<Session, 'data'>>().type.toBe<{ readonly data: Readonly<Record<string, unknown>> }>()
  })

  test('data has any type without a declaration', () => {
    for (const update of [app.sessions.update.bind(null, 'id'), (null as unknown as RequestSession).update]) {
      expect(update).type.toBeCallableWith({ cart: ['a'], step: undefined })
      expect(update).type.not.toBeCallableWith('text')
      expect(update).type.not.toBeCallableWith(['a'])
      expect(update).type.not.toBeCallableWith(null)
      expect(update).type.not.toBeCallableWith()
      expect(update({})).type.toBe<Promise<Session | null>>()
    }
  })
})

describe("the upstream's tokens", () => {
  const secrets = 'x'.repeat(32)

  test('take the options of the contract, for each kind of upstream', () => {
    expect(app.register).type.toBeCallableWith(fastifyJwtSession, {
      jwt,
      upstream: { ...upstream, tokens: { secrets: [secrets, Buffer.alloc(32)], refreshPath: '/token', maxBytes: 1 } }
    })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {
      jwt,
      upstream: { ...upstream, tokens: { refreshPath: '/token' } }
    })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {
      jwt,
      upstream: { ...upstream, tokens: { secrets, select: () => ({ refreshToken: 'x' }) } }
    })
    expect(app.register).type.not.toBeCallableWith(fastifyJwtSession, {
      jwt,
      upstream: { ...upstream, tokens: { secrets, refreshPaths: '/token' } }
    })
  })

  test('are a function of a session', () => {
    const { accessToken } = (null as unknown as RequestSession).upstream
    expect(accessToken()).type.toBe<Promise<string>>()
    expect(accessToken).type.toBeCallableWith({ rejected: undefined as string | undefined })
    expect(accessToken).type.not.toBeCallableWith({ rejected: null })
    expect(accessToken).type.not.toBeCallableWith('x')
    expect<Session>().type.not.toHaveProperty('upstream')
  })
})

describe('config.session of a route', () => {
  test('config.session accepts only the settings of the contract', () => {
    const handler = async () => {}
    expect(app.get).type.toBeCallableWith('/', { config: { session: { optional: true } } }, handler)
    expect(app.get).type.toBeCallableWith('/', { config: { session: { freshSeconds: 300, slide: false } } }, handler)
    expect(app.get).type.toBeCallableWith('/', { config: { session: {}, other: 1 } }, handler)
    expect(app.get).type.not.toBeCallableWith('/', { config: { session: { freshSeconds: '300' } } }, handler)
    expect(app.get).type.not.toBeCallableWith('/', { config: { session: { slide: 1 } } }, handler)
    expect<FastifyContextConfig['session']>().type.toBe<SessionRouteSettings | false | undefined>()
    expect<keyof SessionRouteSettings>().type.toBe<'optional' | 'freshSeconds' | 'slide'>()
  })
})
