// The HTTP upstream, with every supported version of undici.
import Fastify from 'fastify'
import fastifyJwtSession, {
  type HttpUpstreamOptions,
  RegistrationRejectedError,
  type UpstreamClient,
  UpstreamError
} from 'fastify-jwt-session'
import { Agent as Agent6, MockAgent as MockAgent6, Pool as Pool6 } from 'undici-6'
import { Agent as Agent7, MockAgent as MockAgent7, Pool as Pool7 } from 'undici-7'
import { Agent as Agent8, MockAgent as MockAgent8, Pool as Pool8 } from 'undici-8'

class SecondFactorError extends UpstreamError {
  constructor() {
    super('SECOND_FACTOR', 401, 'A second factor is needed')
  }
}

const baseUrl = 'https://api.internal.example'
const upstream: HttpUpstreamOptions = {
  baseUrl,
  loginPath: '/v1/accounts:signIn?key=abc',
  registerPath: '/v1/accounts:signUp',
  logoutPath: '/v1/accounts:signOut',
  timeoutMs: 1_000,
  maxResponseBytes: 1_000,
  headers: { 'x-api-key': 'abc' },
  forwardHeaders: ['accept-language'],
  forwardClientIp: true,
  mapCredentials: (body) => new URLSearchParams({ email: body.username, password: body.password }),
  mapRegistration: (body) => ({ email: body.username }),
  selectUser: async (body) => body.data,
  selectData: (body) => (body.cart ? { cart: body.cart } : undefined),
  tokens: {
    secrets: ['a secret for the tokens of this test', Buffer.alloc(32)],
    select: (body) => (body.at ? { accessToken: body.at, refreshToken: body.rt, expiresIn: body.seconds } : null),
    refreshPath: '/v1/token',
    refreshBeforeSeconds: 0,
    maxBytes: 4_096
  },
  mapError({ operation, status, body }) {
    if (operation === 'register' && status === 409) return new RegistrationRejectedError(409, { details: body })
    return operation === 'login' && status === 401 ? new SecondFactorError() : undefined
  }
}
const jwt = { secret: 'a secret of this test, 32 bytes or more' }
const app = Fastify()
await app.register(fastifyJwtSession, { jwt, upstream })
await app.register(fastifyJwtSession, { jwt, upstream: { baseUrl, dispatcher: new Agent6() } })
await app.register(fastifyJwtSession, { jwt, upstream: { baseUrl, dispatcher: new Agent7() } })
await app.register(fastifyJwtSession, { jwt, upstream: { baseUrl, dispatcher: new Agent8() } })

const dispatchers: NonNullable<HttpUpstreamOptions['dispatcher']>[] = [
  ...[new Pool6(baseUrl), new Pool7(baseUrl), new Pool8(baseUrl)],
  ...[new MockAgent6(), new MockAgent7(), new MockAgent8()]
]
const own: UpstreamClient = {
  login: async () => ({ user: { id: dispatchers.length }, tokens: { accessToken: 'x', refreshToken: null } }),
  tokens: {
    secrets: 'a secret for the tokens of this test',
    refresh: async (refreshToken, { signal }) => ({ accessToken: `${refreshToken}${signal.aborted}`, expiresIn: 60 })
  },
  timeoutMs: 500
}
await app.register(fastifyJwtSession, { jwt, upstream: own })
app.get('/orders', { preHandler: app.verifySession }, async ({ session }): Promise<string> => {
  const rejected = await session.upstream.accessToken()
  return session.upstream.accessToken({ rejected })
})
