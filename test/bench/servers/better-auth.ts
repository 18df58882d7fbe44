import { type BetterAuthPlugin, betterAuth, type SecondaryStorage } from 'better-auth'
import { memoryAdapter } from 'better-auth/adapters/memory'
import { createAuthEndpoint } from 'better-auth/api'
import { setSessionCookie } from 'better-auth/cookies'
import { fromNodeHeaders } from 'better-auth/node'
import Fastify from 'fastify'
import { Redis } from 'ioredis'
import { z } from 'zod'
import { type BenchServer, callUpstream, listenFastify, meSchema, SECRET } from './bench-server.js'

function redisStorage(redis: Redis): SecondaryStorage {
  return {
    get: (key) => redis.get(key),
    async set(key, value, ttlSeconds) {
      if (ttlSeconds === undefined) await redis.set(key, value)
      else await redis.set(key, value, 'EX', ttlSeconds)
    },
    async delete(key) {
      await redis.del(key)
    },
    getAndDelete: (key) => redis.getdel(key),
    async increment(key, ttlSeconds) {
      const count = await redis.incr(key)
      if (count === 1) await redis.expire(key, ttlSeconds)
      return count
    }
  }
}

const credentials = z.object({ username: z.string(), password: z.string() })

interface Login {
  Body: z.infer<typeof credentials>
}

/** A sign-in that calls the upstream: the built-in sign-in would hash a password, which no other server does. */
function upstreamSignIn(upstreamUrl: string) {
  const options = { method: 'POST', body: credentials } as const
  const signIn = createAuthEndpoint('/sign-in/upstream', options, async (context) => {
    const { internalAdapter } = context.context
    const user = await callUpstream(upstreamUrl, context.body)
    const known = await internalAdapter.findUserById(user.id)
    const owner = known ?? (await internalAdapter.createUser({ ...user, emailVerified: true }, { method: 'upstream' }))
    const session = await internalAdapter.createSession(owner.id)
    await setSessionCookie(context, { session, user: owner })
    return context.json({ user })
  })
  return { id: 'upstream', endpoints: { signInUpstream: signIn } } satisfies BetterAuthPlugin
}

/** Sessions are only in Redis. Users are in memory, because a database would slow down logins. */
export default {
  title: 'better-auth, Redis as secondary storage',
  packages: ['better-auth', 'fastify', 'ioredis'],
  async start({ redisPath, upstreamUrl }) {
    const auth = betterAuth({
      baseURL: 'http://127.0.0.1',
      secret: SECRET,
      database: memoryAdapter({ user: [], session: [], account: [], verification: [] }),
      secondaryStorage: redisStorage(new Redis(redisPath, { enableAutoPipelining: true })),
      telemetry: { enabled: false },
      plugins: [upstreamSignIn(upstreamUrl)]
    })
    const app = Fastify()
    app.post<Login>('/user/login', async ({ body, headers }, reply) => {
      const sent = { body, headers: fromNodeHeaders(headers), returnHeaders: true } as const
      const { headers: answer, response } = await auth.api.signInUpstream(sent)
      return reply.header('set-cookie', answer.getSetCookie()).send(response)
    })
    app.post('/user/logout', async ({ headers }, reply) => {
      await auth.api.signOut({ headers: fromNodeHeaders(headers) })
      return reply.code(204).send()
    })
    app.get('/me', { schema: meSchema }, async ({ headers }, reply) => {
      const found = await auth.api.getSession({ headers: fromNodeHeaders(headers) })
      if (found === null) return reply.code(401).send({ message: 'Not logged in' })
      return found.user
    })
    return listenFastify(app)
  }
} satisfies BenchServer
