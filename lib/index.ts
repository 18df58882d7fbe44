import type { FastifyInstance, FastifyPluginAsync } from 'fastify'
import fp from 'fastify-plugin'
import { openCustody } from './custody/open-custody.js'
import { createStats } from './diagnostics/stats.js'
import { AlreadyDecoratedError } from './errors.js'
import { createAuthentication } from './guard/authenticate.js'
import { createGuard, type VerifySession } from './guard/create-guard.js'
import { checkHooksOfScopes } from './guard/guard-hooks.js'
import { checkRoute, settingsOf } from './guard/route-settings.js'
import { createVerify, VERIFY } from './guard/verify-session.js'
import { createVerifyToken } from './guard/verify-token.js'
import { createErrorReplies } from './http/error-reply.js'
import { EventStreams } from './http/event-streams.js'
import { INTERNALS } from './live/internals.js'
import { createSessions } from './live/stored-sessions.js'
import { WatchedSessions } from './live/watched-sessions.js'
import { createLogIn } from './login/log-in.js'
import { logEvictions } from './login/open-session.js'
import { createLifetimes } from './model/lifetime.js'
import { createOpenRecord } from './model/open-record.js'
import type { Session, SessionDeclaration } from './model/session.js'
import { createSessionDataRules } from './model/session-data.js'
import { createUserParser } from './model/user.js'
import type { JwtSessionOptions } from './options/options.js'
import { resolveOptions } from './options/resolve-options.js'
import type { SessionRouteSettings } from './options/session-route-settings.js'
import { toStoreConfig } from './options/to-store-config.js'
import { createRoutes } from './routes/index.js'
import { createPublicSessions, type Sessions } from './sessions.js'
import { openStore } from './store/open-store.js'
import { createAccessTokens } from './token/access-token.js'
import { createIdentityTokens } from './token/identity-token.js'
import { createTransport } from './token/transport.js'
import { openUpstream } from './upstream/open-upstream.js'

const plugin: FastifyPluginAsync<JwtSessionOptions> = async (fastify, rawOptions) => {
  const options = resolveOptions(rawOptions)
  const { breaker, upstream: choice, session } = options
  checkDecorators(fastify)

  const users = createUserParser(options.userSchema)
  const accessTokens = await createAccessTokens(fastify, { ...options.jwt, areSessionsCached: options.cache !== null })
  const identityTokens = options.identity && (await createIdentityTokens(fastify, options.identity))
  const upstream = choice && openUpstream(fastify, { upstream: choice, breaker })
  const { store, cache, feed } = await openStore<Session>(fastify, toStoreConfig(options))
  const lifetimes = createLifetimes({ ...session, downtimeOf: (tag, now) => store.downtimeOf(tag, now) })
  const openRecord = createOpenRecord(users, lifetimes)
  const custody = choice && upstream && openCustody(fastify, { choice, upstream, store, openRecord })
  const limit = session.isDefaultLimit ? logEvictions(session.limit, fastify.log) : { ...session.limit, onEvicted() {} }
  const dataRules = createSessionDataRules(session.maxDataBytes)
  const parts = { store, lifetimes, limit, dataRules, accessTokens, openRecord }
  const sessions = createSessions(parts)
  const watched = new WatchedSessions({ feed, store, lifetimes, openRecord, log: fastify.log })
  const authentication = createAuthentication({ store, cache, accessTokens, lifetimes, openRecord })
  const errorReplies = createErrorReplies(options.clearSiteData)
  const transport = createTransport(options.cookie)
  const logIn = createLogIn({ sessions, transport, accessTokens, errorReplies })
  const guardDeps = { transport, authentication, sessions, watched, custody, errorReplies }
  const verify = createVerify({ ...guardDeps, settingsOf })
  const verifySession = createGuard(verify)
  const verifyToken = createVerifyToken(authentication, () => store.newBudget())
  const streams = options.routes.events ? new EventStreams(options.routes.events) : null
  // The cache of the in-memory store is no option, and has no figures.
  const counted = options.cache === null ? { stats: null } : cache
  const stats = createStats({ streams, store, upstream, cache: counted })

  fastify.addHook('onRoute', checkRoute)
  fastify.addHook('onReady', async () => checkHooksOfScopes(fastify))
  // Fastify sends the headers of an error thrown by a handler, for example by update(), but does not expose the
  // headers.
  fastify.addHook('onError', async (_request, reply, error) => errorReplies.exposeRetryAfter(reply, error))
  fastify.decorateRequest('session', null, [])
  fastify.decorate('sessions', createPublicSessions({ sessions, watched, verifyToken, logIn, users, stats }))
  fastify.decorate('verifySession', verifySession)
  fastify.decorate(VERIFY, verify)
  fastify.decorate(INTERNALS, { ...parts, users, cookieName: options.cookie?.name ?? null })
  fastify.addHook('onClose', async () => watched.close())
  if (options.routes.events) await watched.open()
  const shared = { options, transport, accessTokens, sessions, watched, streams, lifetimes, errorReplies }
  const deps = { ...shared, upstream, custody, users, logIn, verifySession, authentication, identityTokens }
  await fastify.register(createRoutes(deps), { prefix: options.routes.prefix })
}

function checkDecorators(fastify: FastifyInstance): void {
  if (fastify.hasRequestDecorator('session')) throw new AlreadyDecoratedError('request.session')
  for (const name of ['sessions', 'verifySession']) {
    if (fastify.hasDecorator(name)) throw new AlreadyDecoratedError(`app.${name}`)
  }
}

/** The plugin: adds the routes, `app.verifySession`, `app.sessions` and `request.session`. */
export const fastifyJwtSession = fp(plugin, { fastify: '5.x', name: 'fastify-jwt-session' })
export default fastifyJwtSession

export type {
  BreakerMessage,
  DiagnosticsMessages,
  EndMessage,
  LoginMessage,
  VerifyMessage
} from './diagnostics/channels.js'
export type { CacheStats, SessionsStats } from './diagnostics/stats.js'
export type { ErrorBody } from './errors/base-error.js'
export {
  AlreadyDecoratedError,
  ClientGoneError,
  CredentialsRejectedError,
  CrossSiteError,
  EventsFullError,
  InvalidAnswerError,
  InvalidBodyError,
  InvalidClaimsError,
  InvalidDataError,
  InvalidOptionError,
  InvalidQueryError,
  InvalidUserError,
  JwtSessionError,
  LoginNeededError,
  NotRegisteredError,
  RegistrationRejectedError,
  type RegistrationRejection,
  SessionEndedError,
  type SessionEndReason,
  SessionLimitReachedError,
  SessionMissingError,
  SessionNotFoundError,
  SessionNotFreshError,
  StoreUnavailableError,
  UpstreamBusyError,
  UpstreamError,
  UpstreamInvalidError,
  UpstreamTimeoutError,
  UpstreamUnavailableError
} from './errors.js'
export type { VerifySession } from './guard/create-guard.js'
export { verifySession } from './guard/verify-session.js'
export type { SessionEvent, SessionListener } from './live/watched-sessions.js'
export type { LogInAnswer, LogInOptions } from './login/log-in.js'
export type { CreatedSession, SessionDetails } from './login/open-session.js'
export type {
  RequestSession,
  Session,
  SessionData,
  SessionDataPatch,
  SessionTypes,
  UpstreamAccess,
  User,
  UserSchema
} from './model/session.js'
export type {
  BodyRouteOptions,
  BreakerOptions,
  CacheOptions,
  ClearSiteDataDirective,
  CookieOptions,
  EventsRouteOptions,
  HttpTokenCustodyOptions,
  HttpUpstreamOptions,
  IdentityOptions,
  JwtOptions,
  JwtSessionOptions,
  RedisOptions,
  RouteOptions,
  RoutesOptions,
  SecurityRequirement,
  SessionOptions
} from './options/options.js'
export type { SessionRouteSettings } from './options/session-route-settings.js'
export type { Sessions, VerifyOptions } from './sessions.js'
export { createMemoryStore } from './store/memory-store.js'
export type { RedisClient } from './store/redis/client.js'
export { createRedisStore } from './store/redis/redis-store.js'
export {
  type ChangeTracking,
  type CreateOptions,
  type CreateResult,
  type Downtime,
  type DowntimeOptions,
  type DowntimeWatch,
  EARLY_END_MS,
  type EndReason,
  type FoundRecord,
  MAX_EVICTIONS,
  type SessionLimit,
  type SessionStore,
  type StoredSession,
  type TrackingOptions
} from './store/session-store.js'
export type { TokenCustodyOptions } from './upstream/token-options.js'
export type { UpstreamClient, UpstreamContext, UpstreamLogin } from './upstream/upstream-client.js'
export type { UpstreamAnswer } from './upstream/upstream-config.js'
export type { UpstreamDispatcher, UpstreamHttpRequest, UpstreamHttpResponse } from './upstream/upstream-dispatcher.js'
export type { UpstreamTokens } from './upstream/upstream-tokens.js'

declare module 'fastify' {
  interface FastifyInstance {
    /** The guard for private routes: `{ preHandler: app.verifySession }`. */
    verifySession: VerifySession
    /** Sessions, for the application's own logins and for administration. */
    sessions: Sessions
  }
  interface FastifyRequest extends SessionDeclaration {}
  interface FastifyContextConfig {
    /** Settings of `verifySession` on the route. False: the route is exempt from the `verifySession` of the scope. */
    session?: SessionRouteSettings | false | undefined
  }
}
