import Fastify, { type FastifyRequest } from 'fastify'
import { Redis } from 'ioredis'
import { Type } from 'typebox'
import type { JwtSessionOptions, RequestSession } from '../../../dist/index.js'
import { type BenchServer, type Environment, type Listening, listenFastify, meSchema, SECRET } from './bench-server.js'

export const userSchema = Type.Object({ id: Type.String(), name: Type.String(), email: Type.String() })

declare module '../../../dist/index.js' {
  interface SessionTypes {
    userSchema: typeof userSchema
    // @fastify/session declares `request.session` in the same TypeScript program.
    requestSession: false
  }
}

/** The plugin, from `dist`, or from the `dist` folder that `BENCH_DIST` names: another commit in the same bench. */
export const { fastifyJwtSession, createMemoryStore } = (await import(
  process.env.BENCH_DIST ? `${process.env.BENCH_DIST}/index.js` : '../../../dist/index.js'
)) as typeof import('../../../dist/index.js')

/** On a busy machine the run reports the noise, and must not end with a 503. */
const STORE_TIMEOUT_MS = 30_000

/** Not `getDecorator`, which costs time that the measurement would count. */
function sessionOf(request: FastifyRequest): RequestSession {
  return request.session as unknown as RequestSession
}

/** The common part of the servers with the plugin, which differ only in options. */
export async function startPlugin(
  { upstreamUrl }: Environment,
  options: Partial<JwtSessionOptions>
): Promise<Listening> {
  const app = Fastify()
  const required = { jwt: { secret: SECRET }, upstream: { baseUrl: upstreamUrl }, storeTimeoutMs: STORE_TIMEOUT_MS }
  await app.register(fastifyJwtSession, { ...required, userSchema, routes: { sessions: {} }, ...options })
  app.get('/me', { schema: meSchema, preHandler: app.verifySession }, async (request) => sessionOf(request).user)
  return listenFastify(app)
}

/** Each request reads Redis. */
export default {
  title: 'this plugin, strict',
  packages: ['fastify-jwt-session', 'fastify', 'ioredis'],
  start: (environment) => startPlugin(environment, { redis: new Redis(environment.redisPath) })
} satisfies BenchServer
