import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { openCache } from './cache/open-cache.js'
import { AlreadyDecoratedError } from './errors.js'
import { createVerification, type FoundSession } from './guard/authenticate.js'
import { checkRouteSettings, type SessionRouteSettings } from './guard/route-settings.js'
import { createVerifySession, GUARD, type VerifySession } from './guard/verify-session.js'
import { createAnswers } from './http/error-reply.js'
import { createBreaker, logBreaker } from './internal/circuit-breaker.js'
import type { RequestSession } from './model/session.js'
import { createUserParser } from './model/user.js'
import type { JwtSessionOptions } from './options/options.js'
import { resolveOptions } from './options/resolve-options.js'
import { createRoutes } from './routes/index.js'
import { createSessions, type Sessions } from './sessions.js'
import { createBoundedStore } from './store/guarded-store.js'
import { openStore } from './store/open-store.js'
import { createAccessTokens } from './token/access-token.js'
import { openUpstream } from './upstream/open-upstream.js'

const plugin: FastifyPluginAsync<JwtSessionOptions> = async (fastify, rawOptions) => {
  const options = resolveOptions(rawOptions)
  checkDecorators(fastify)

  const users = createUserParser(options.userSchema)
  const accessTokens = await createAccessTokens(fastify, options)
  const breaker = createBreaker(options.breaker.store, logBreaker(fastify.log, 'session store'))
  const boundedStore = createBoundedStore(await openStore(fastify, options), options.storeTimeoutMs, breaker)
  const { store, cache } = await openCache<FoundSession>(fastify, boundedStore, options.cache)
  const upstream = openUpstream(fastify, options)
  const sessions = createSessions({ ...options.session, store, users, accessTokens })
  const verification = createVerification({ ...options.session, store, cache, users, accessTokens })
  const answers = createAnswers(options.clearSiteData)

  fastify.addHook('onRoute', ({ config }) => {
    if (config?.session !== undefined) checkRouteSettings(config.session)
  })
  fastify.decorateRequest('session', null as unknown as RequestSession)
  fastify.decorate('sessions', sessions)
  const verifySession = createVerifySession(verification, sessions, answers)
  fastify.decorate('verifySession', verifySession)
  fastify.decorate(GUARD, verifySession)
  await fastify.register(createRoutes({ options, upstream, users, accessTokens, sessions, answers, verifySession }), {
    prefix: options.routes.prefix
  })
}

function checkDecorators(fastify: FastifyInstance): void {
  if (fastify.hasRequestDecorator('session')) throw new AlreadyDecoratedError('request.session')
  for (const name of ['sessions', 'verifySession']) {
    if (fastify.hasDecorator(name)) throw new AlreadyDecoratedError(`app.${name}`)
  }
}

/** Registers login, logout and register routes, `app.verifySession`, `app.sessions` and `request.session`. */
export const fastifyJwtSession = fp(plugin, { fastify: '5.x', name: 'fastify-jwt-session' })
export default fastifyJwtSession

export * from './errors.js'
export type { SessionRouteSettings } from './guard/route-settings.js'
export { type VerifySession, verifySession } from './guard/verify-session.js'
export type * from './model/session.js'
export type * from './options/options.js'
export type { SessionDetails, Sessions } from './sessions.js'
export { createMemoryStore } from './store/memory-store.js'
export { createRedisStore, type RedisClient } from './store/redis/redis-store.js'
export type * from './store/session-store.js'
export { KEPT_AFTER_LIFE_MS } from './store/session-store.js'
export type { UpstreamClient, UpstreamContext } from './upstream/upstream-client.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The guard of private routes: `{ preHandler: app.verifySession }`. */
    verifySession: VerifySession
    /** The sessions, for logins of your own and for administration. */
    sessions: Sessions
  }
  interface FastifyRequest {
    /**
     * The session behind a `verifySession`. Without one, on a route that is not guarded or on an `optional` one, it is
     * null, which this type leaves out.
     */
    session: RequestSession
  }
  interface FastifyContextConfig {
    /** What `verifySession` does on this route. */
    session?: SessionRouteSettings | undefined
  }
}
