import { createHmac } from 'node:crypto'
import { createServer, type IncomingMessage, type RequestListener, type ServerResponse } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { promisify } from 'node:util'
import Fastify, { type FastifyPluginCallback } from 'fastify'
import type { Redis } from 'ioredis'
import type { Test } from 'tap'

// The packages that apps come from, as they are. Loaded without their types: two packages declare `request.session`.
const load = createRequire(import.meta.url)

type Next = (error?: Error) => void
type Middleware = (request: object, response: object, next: Next) => void
type Callback = (error: Error | null, value?: unknown) => void

interface JwtRedisSession {
  create(claims: object, callback: (error: Error | null, token: string) => void): void
  destroy(callback: Callback): void
  id?: string
}

export const OLD_SECRET = 'the secret of the old app, 32 bytes or more'

/** The old app with jwt-redis-session. */
export interface JwtApp {
  /** Opens a session with these fields, and resolves to its token. */
  logIn(fields: object, claims?: object): Promise<string>
  /** The id of the session that the old app finds for this token; undefined: none. */
  find(token: string): Promise<string | undefined>
}

/** Tokens and keys are made by the package itself. */
export function createJwtApp(redis: Redis, secret = OLD_SECRET): JwtApp {
  const jwtRedisSession: (options: object) => Middleware = load('jwt-redis-session')
  const middleware = jwtRedisSession({ client: redis, secret, maxAge: 600 })

  /** A request of Express, as far as the package knows one. */
  async function sessionOf(token?: string): Promise<JwtRedisSession> {
    const request = { get: (name: string) => (name === 'x-access-token' ? token : undefined), query: {} }
    await new Promise<void>((resolve, reject) =>
      middleware(request, {}, (error) => (error ? reject(error) : resolve()))
    )
    return (request as unknown as { session: JwtRedisSession }).session
  }

  return {
    async logIn(fields, claims = {}) {
      const session = Object.assign(await sessionOf(), fields)
      return promisify<object, string>(session.create.bind(session))(claims)
    },
    find: async (token) => (await sessionOf(token)).id
  }
}

interface CookieSession {
  user?: object
}

/** The keys of connect-redis: `sess:` and the id, JSON, a TTL. */
function createStoreMethods(redis: Redis) {
  return {
    get(id: string, callback: Callback): void {
      redis.get(`sess:${id}`).then((text) => callback(null, text === null ? null : JSON.parse(text)), callback)
    },
    set(id: string, session: object, callback: Callback): void {
      redis.set(`sess:${id}`, JSON.stringify(session), 'EX', 600).then(() => callback(null), callback)
    },
    destroy(id: string, callback: Callback): void {
      redis.del(`sess:${id}`).then(() => callback(null), callback)
    },
    touch: (_id: string, _session: object, callback: Callback) => callback(null)
  }
}

/** The old app with a cookie: `/login` opens a session, `/me` answers its user. */
export interface CookieOldApp {
  /** Logs in, and resolves to the `Cookie` header of the browser. */
  logIn(): Promise<string>
  /** The status of `/me`. */
  visit(cookie: string): Promise<number>
}

export async function startExpressSession(t: Test, redis: Redis): Promise<CookieOldApp> {
  const session: ((options: object) => Middleware) & { Store: new () => object } = load('express-session')
  const store = Object.assign(new session.Store(), createStoreMethods(redis))
  const middleware = session({ store, secret: OLD_SECRET, resave: false, saveUninitialized: false })
  const listener: RequestListener = (request: IncomingMessage & { session?: CookieSession }, response) =>
    middleware(request, response, () => answer(request.url, request.session ?? {}, response))
  const server = createServer(listener)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => {
    server.closeAllConnections()
    server.close()
  })
  return withUrl(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
}

function answer(url: string | undefined, session: CookieSession, response: ServerResponse): void {
  if (url === '/login') session.user = { id: 'ada' }
  response.statusCode = session.user === undefined ? 401 : 200
  response.end()
}

export async function startFastifySession(t: Test, redis: Redis, options: object = {}): Promise<CookieOldApp> {
  const app = Fastify()
  t.teardown(() => app.close())
  const plugin = (name: string): FastifyPluginCallback<Record<string, unknown>> => load(name)
  await app.register(plugin('@fastify/cookie'))
  const cookie = { secure: false }
  const store = createStoreMethods(redis)
  await app.register(plugin('@fastify/session'), {
    secret: OLD_SECRET,
    store,
    saveUninitialized: false,
    cookie,
    ...options
  })
  app.get('/login', async (request) => {
    request.getDecorator<CookieSession>('session').user = { id: 'ada' }
    return 'ok'
  })
  app.get('/me', async (request, reply) => {
    const { user } = request.getDecorator<CookieSession>('session')
    return reply.code(user === undefined ? 401 : 200).send()
  })
  return withUrl(await app.listen({ host: '127.0.0.1', port: 0 }))
}

function withUrl(url: string): CookieOldApp {
  return {
    async logIn() {
      const response = await fetch(`${url}/login`)
      return response.headers.getSetCookie().map((cookie) => cookie.split(';')[0])[0] ?? ''
    },
    visit: async (cookie) => (await fetch(`${url}/me`, { headers: { cookie } })).status
  }
}

interface Forged {
  header?: object
  payload: unknown
  secret?: string
  hash?: string
}

/** A token in the format of jwt-redis-session, with a right MAC of the secret. */
export function forge({
  header = { alg: 'HS256', typ: 'JWT' },
  payload,
  secret = OLD_SECRET,
  hash = 'sha256'
}: Forged) {
  const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url')
  const input = `${encode(header)}.${encode(payload)}`
  return `${input}.${createHmac(hash, secret).update(input).digest('base64url')}`
}
