import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { Type } from 'typebox'
import { fastifyJwtSession, type JwtSessionOptions } from '../../../dist/index.js'
import { type BenchServer, type Environment, type Listening, listenFastify, meSchema, SECRET } from './bench-server.js'

export const userSchema = Type.Object({ id: Type.String(), name: Type.String(), email: Type.String() })

declare module '../../../dist/index.js' {
  interface SessionTypes {
    userSchema: typeof userSchema
  }
}

/** The common part of the servers with the plugin, which differ only in options. */
export async function startPlugin(
  { upstreamUrl }: Environment,
  options: Partial<JwtSessionOptions>
): Promise<Listening> {
  const app = Fastify()
  const required = { jwt: { secret: SECRET }, upstream: { baseUrl: upstreamUrl } }
  await app.register(fastifyJwtSession, { ...required, userSchema, routes: { sessions: {} }, ...options })
  app.get('/me', { schema: meSchema, preHandler: app.verifySession }, async ({ session }) => session.user)
  return listenFastify(app)
}

/** Each request reads Redis. */
export default {
  title: 'this plugin, strict',
  packages: ['fastify-jwt-session', 'fastify', 'ioredis'],
  start: (environment) => startPlugin(environment, { redis: new Redis(environment.redisPath) })
} satisfies BenchServer
