// Every option and export in the code of an application. Compiled by test/long/package.test.ts in a separate project.
import Fastify from 'fastify'
import fastifyJwtSession, {
  CredentialsRejectedError,
  createMemoryStore,
  createRedisStore,
  InvalidOptionError,
  type JwtSessionOptions,
  fastifyJwtSession as named,
  RegistrationRejectedError,
  type RequestSession,
  type Session,
  type SessionStore,
  type UpstreamClient,
  type UpstreamContext,
  UpstreamError,
  type UpstreamLogin,
  type User,
  verifySession
} from 'fastify-jwt-session'
import { Cluster, Redis } from 'ioredis'
import { Type } from 'typebox'

const userSchema = Type.Object({
  id: Type.String(),
  role: Type.Union([Type.Literal('reader'), Type.Literal('admin')], { default: 'reader' }),
  address: Type.Optional(Type.Object({ city: Type.String() }))
})

declare module 'fastify-jwt-session' {
  interface SessionTypes {
    userSchema: typeof userSchema
    data: { cart: string[] }
  }
}

const jwt = {
  secret: ['a secret of this test, 32 bytes or more', Buffer.alloc(32)],
  issuer: 'issuer',
  audience: 'audience',
  claims: (user: User) => ({ role: user.role })
}

const upstream: UpstreamClient = {
  async login(credentials: unknown, { signal, headers, ip }: UpstreamContext): Promise<UpstreamLogin> {
    if (signal.aborted || headers.host === ip) throw new CredentialsRejectedError()
    return { user: credentials, data: { cart: ['a book'] } }
  },
  async register() {
    throw new RegistrationRejectedError(409)
  },
  async logout(session: Session) {
    return session.data.cart
  },
  timeoutMs: 1_000
}

class SecondFactorError extends UpstreamError {
  constructor() {
    super('SECOND_FACTOR', 401, 'A second factor is needed')
  }
}

const everything: JwtSessionOptions = {
  jwt,
  redis: { url: 'redis://127.0.0.1:6379', family: 4 },
  upstream,
  userSchema,
  session: { ttlSeconds: 60, idleTimeoutSeconds: false, maxPerUser: 5, onMaxPerUser: 'reject' },
  routes: {
    ...{ prefix: '/auth', login: { path: '/in', schema: Type.Object({ code: Type.String() }) }, register: false },
    ...{ logout: { path: '/out' }, session: { path: '/who' }, sessions: {}, verify: { path: '/check' } }
  },
  storeTimeoutMs: 100,
  requireStoreAtStart: false,
  minReplicas: 1,
  breaker: { store: { failures: 1 }, upstream: { probeAfterMs: 5, maxInFlight: 9 } },
  identity: {
    key: process.env.KEY,
    keyId: 'k1',
    issuer: 'i',
    audience: 'a',
    ttlSeconds: 60,
    claims: ({ role }) => ({ role })
  },
  clearSiteData: ['storage', 'cache'],
  cache: { maxEntries: 5, maxStaleMs: 100 },
  cookie: { name: '__Host-id', sameSite: 'strict', persistent: false, origins: ['https://www.example.com'] }
}

const redis = new Redis({ lazyConnect: true })
const store: SessionStore = createRedisStore(redis)
const stores: Pick<JwtSessionOptions, 'redis' | 'store'>[] = [
  ...[{ redis }, { redis: new Cluster([]) }, { store }, { store: createMemoryStore() }, {}]
]

const app = Fastify()
await app.register(fastifyJwtSession, everything)
for (const choice of stores) await app.register(named, { jwt, upstream, userSchema, ...choice })

app.get('/me', { preHandler: verifySession }, async ({ session }): Promise<string | undefined> => {
  const { user, data }: RequestSession = session
  const changed = await session.update({ cart: [...(data.cart ?? []), user.role] })
  return changed?.user.address?.city
})
app.get('/open', { onRequest: app.verifySession, config: { session: { optional: true, slide: false } } }, async () => 1)
app.get('/fresh', { onRequest: [verifySession], config: { session: { freshSeconds: 300 } } }, async () => 1)

const { token, session } = await app.sessions.create({ id: 'ada', role: 'admin' }, { ip: '::1', userAgent: 'x' })
await app.sessions.update(session.id, { cart: undefined })
await app.sessions.revokeAll(session.user.id, { exceptId: (await app.sessions.find(token))?.id })
await app.sessions.revoke((await app.sessions.list('ada'))[0]?.id ?? '')
if (!(await app.sessions.isReady())) throw new InvalidOptionError('redis', 'does not respond', new SecondFactorError())
