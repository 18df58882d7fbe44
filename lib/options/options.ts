import type { FastifyContextConfig } from 'fastify'
import type { TObject } from 'typebox'
import type { SessionTypes, User } from '../model/session.js'
import type { RedisClient } from '../store/redis/client.js'
import type { RedisOptions } from '../store/redis/open-client.js'
import type { SessionStore } from '../store/session-store.js'
import type { UpstreamClient } from '../upstream/upstream-client.js'
import type { HttpUpstreamOptions } from './upstream-options.js'

export type { HttpUpstreamOptions, RedisOptions }

/**
 * The options of the plugin. A wrong, unknown or contradictory one fails `register()` with
 * `FST_JWT_SESSION_INVALID_OPTION`; nothing falls back silently, and no option is changed.
 */
export interface JwtSessionOptions {
  /** How tokens are signed and what they say. */
  jwt: JwtOptions
  /**
   * The upstream, which checks credentials: its address, or a client for another protocol than JSON over HTTP. Required,
   * unless `routes.login` and `routes.register` are both false: then users log in by routes of the application, and an
   * upstream is only notified of logouts.
   */
  upstream?: HttpUpstreamOptions | UpstreamClient | undefined
  /**
   * Where sessions live: an ioredis `Redis` or `Cluster` such as `app.redis`, used as it is and never closed; or
   * `{ url, …ioredis options }`, opened with settings fit for a request path and closed with the app. It must ask masters:
   * another `scaleReads` or `role` than `master` is refused. Without `redis` and `store` sessions live in this process's
   * memory; undefined, as of a plugin that is not loaded yet, fails `register()`.
   */
  redis?: RedisClient | RedisOptions
  /** A store of your own, instead of `redis`. Undefined fails `register()` too. */
  store?: SessionStore
  /**
   * Which fields of the upstream's user a session keeps, with the `default` of those that are missing; everything else is
   * dropped. Must have a required string `id`. An integer id becomes its decimal string. Refused anywhere in it: what
   * `Type` of typebox 1 has not made, or does not check, and a `format` that is not registered. Default: `{ id: string }`.
   */
  userSchema?: DeclaredUserSchema | undefined
  /** How long sessions live, and how many a user may have. */
  session?: SessionOptions | undefined
  /** The routes of the plugin: their paths, and which of them are mounted. */
  routes?: RoutesOptions | undefined
  /** The same as `routes.prefix`, spelled as Fastify spells it. */
  prefix?: string
  /**
   * Milliseconds that a request may wait for the store until its handler runs, whatever it asks and whatever the client's
   * own settings; then the answer is 503. So may each `update()` and each call of a method of `app.sessions`.
   * 1 to 2 147 483 647. Default 500.
   */
  storeTimeoutMs?: number | undefined
  /**
   * Whether `register()` waits until the store answers, for 5 s at most and within half of Fastify's `pluginTimeout`, and
   * then fails with `FST_JWT_SESSION_STORE_UNAVAILABLE`. Otherwise the app starts, and answers 503 as long as the store
   * does not. Default: true for Redis that the plugin connects to, false for a client or a `store` of yours, which you may
   * have waited for.
   */
  requireStoreAtStart?: boolean | undefined
  /**
   * How many replicas of Redis must have acknowledged the end of a session before a logout, a `revoke()` or a
   * `revokeAll()` is answered, and a login with the token of a session: with too few the answer is 503 although the session
   * has ended, because a failover might bring it back. They are waited for (WAIT) on a connection besides, for half of
   * `storeTimeoutMs` at most. Take all replicas that may become the master: one that has not acknowledged may be the one.
   * Only with `redis`. 1 to 2 147 483 647. Default: none.
   */
  minReplicas?: number | undefined
  /**
   * When requests are answered 503 at once, without asking a store or an upstream that does not answer, or that too many
   * already wait for: a queue that only grows takes memory and helps no user.
   */
  breaker?: { store?: BreakerOptions | undefined; upstream?: BreakerOptions | undefined } | undefined
  /**
   * What `Clear-Site-Data` tells the browser to delete on the plugin's origin when a session has ended, or false for no
   * such header. Default `['storage']`. `Session-Ended` is sent in any case.
   */
  clearSiteData?: readonly ClearSiteDataDirective[] | false | undefined
  /**
   * Whether verified sessions are kept in this process, so that a request need not wait for Redis, which tells of each
   * change by client-side tracking. Where Redis cannot (before 6.0, or by an ACL), it warns once with
   * `FST_JWT_SESSION_CACHE_UNAVAILABLE` and asks as without a cache. The in-memory store needs none. Default false.
   */
  cache?: boolean | CacheOptions | undefined
}

/** When a store or an upstream that does not answer is no longer called. */
export interface BreakerOptions {
  /**
   * Consecutive failures that open the circuit. A refusal is an answer and no failure; a response that does not come in
   * time is a failure. 1 to 2 147 483 647. Default 5.
   */
  failures?: number | undefined
  /**
   * Milliseconds until one request, the probe, is let through: with an answer the circuit is closed, without an answer the
   * next probe comes as long after. 1 to 2 147 483 647. Default 250.
   */
  probeAfterMs?: number | undefined
  /** How many may wait for an answer at the same time. 1 to 2 147 483 647. Default 10 000 for the store, 500 for the upstream. */
  maxInFlight?: number | undefined
}

/** How verified sessions are cached in this process. */
export interface CacheOptions {
  /**
   * Sessions to keep, one to two kilobytes each without `data` and claims of your own; the least recently used goes first.
   * 1 to 2 147 483 647. Default 10 000.
   */
  maxEntries?: number | undefined
  /**
   * Milliseconds after which a connection that was cut without a word is noticed, and so the longest that an ended
   * session may be let in; any other change is told within milliseconds. Redis is pinged four times in this time.
   * 100 to 2 147 483 647. Default 1 000.
   */
  maxStaleMs?: number | undefined
}

/** A directive of the `Clear-Site-Data` header, without its quotes. */
export type ClearSiteDataDirective = 'cache' | 'clientHints' | 'cookies' | 'executionContexts' | 'storage' | '*'

/** The schema declared in {@link SessionTypes}, or any object schema as long as none is declared. */
type DeclaredUserSchema = SessionTypes extends { userSchema: infer Schema } ? Schema : TObject

/** How long sessions live, and how many a user may have. */
export interface SessionOptions {
  /**
   * Seconds from the login to the absolute expiry of a new session and of its token, however much it is in use: 1 to
   * 2 147 483 647. Sessions that are open keep theirs. Default 43 200, 12 hours (OWASP ASVS 7.3.2).
   */
  ttlSeconds?: number | undefined
  /**
   * Seconds without activity after which a session has ended (OWASP ASVS 7.3.1): 1 to `ttlSeconds`, or false for no idle
   * timeout. It holds for open sessions too. Activity is written at most once in a tenth of this time, so a session may
   * end that tenth early. Time in which the store could not write activity does not count: an outage ends no session.
   * Default 1 800, half an hour, or `ttlSeconds` if that is less.
   */
  idleTimeoutSeconds?: number | false | undefined
  /**
   * Live sessions that one user may have: 1 to 1 000. It bounds what one user can cost Redis. A lowered limit holds after
   * a few logins: one login ends 256 surplus sessions at most. Default 100; what this default ends is logged at `warn`,
   * once a minute at most.
   */
  maxPerUser?: number | undefined
  /**
   * What a login over `maxPerUser` does: it ends the user's session whose last written activity is the oldest, or is
   * refused with 409 `FST_JWT_SESSION_LIMIT_REACHED`. Default `'evict-oldest'`.
   */
  onMaxPerUser?: 'evict-oldest' | 'reject' | undefined
  /**
   * Bytes of JSON that the `data` of a session may have: 0 (none at all) to 65 536. Every verification reads them. Default
   * 4 096.
   */
  maxDataBytes?: number | undefined
}

/** How tokens are signed and what they say. */
export interface JwtOptions {
  /**
   * The HMAC secret, at least 32 bytes of randomness; `randomBytes(32).toString('base64')` makes one. Of several the
   * first signs and every one verifies. To rotate, on all instances at each step: add the new one at the end, then move
   * it to the front, then, after `session.ttlSeconds`, take the old one off. An instance that does not know a secret
   * takes its tokens for forged and sends the clear signal. Text of a public key is refused (RFC 8725 2.1).
   */
  secret: Secret | readonly Secret[]
  /** `iss` of every token; then required, and compared exactly. Default: none. */
  issuer?: string | undefined
  /** `aud` of every token; then required, and compared exactly. Default: none. */
  audience?: string | undefined
  /**
   * Claims of your own for other readers of the token, called once at login. They are signed, not encrypted: the client
   * can read them. `iss`, `sub`, `aud`, `exp`, `nbf`, `iat` and `jti` stay the plugin's.
   */
  claims?: ((user: User) => Record<string, unknown>) | undefined
}

/** Undefined, as of an environment variable that is not set, compiles and fails `register()`. */
type Secret = string | Uint8Array | undefined

/** The plugin's routes. */
export interface RoutesOptions {
  /** In front of every route of the plugin. Default `/user`. */
  prefix?: string | undefined
  /** Default path `/login`, body `{ username, password }`. False: no such route. */
  login?: BodyRouteOptions | false | undefined
  /** Default path `/register`, body `{ username, password, email? }`. False: no such route. */
  register?: BodyRouteOptions | false | undefined
  /** Default path `/logout`. False: no such route. */
  logout?: RouteOptions | false | undefined
  /** `GET`: who is logged in, and until when. Default path `/session`. False: no such route. */
  session?: RouteOptions | false | undefined
  /** `GET`, `DELETE` and `DELETE /:id`: the user's own sessions. Default path `/sessions`. Default false: no such routes. */
  sessions?: RouteOptions | false | undefined
  /**
   * OpenAPI's security requirements of the guarded routes (`session`, `sessions`), such as `[{ bearerAuth: [] }]`, so that a
   * page of documentation sends the token. Declare the scheme with @fastify/swagger, which throws without. Default: none.
   */
  security?: readonly SecurityRequirement[] | undefined
}

/** The scopes by the name of each scheme: none but for OAuth 2. */
export type SecurityRequirement = Readonly<Record<string, readonly string[]>>

/** A route without a body. */
export interface RouteOptions {
  path?: string | undefined
  /**
   * Fastify's config of the route, where other plugins look, such as @fastify/rate-limit. Copied. `session` in it is for the
   * guarded routes: `freshSeconds` and `slide`. Default: none.
   */
  config?: (FastifyContextConfig & Record<string, unknown>) | undefined
}

/** A route with a body. */
export interface BodyRouteOptions extends RouteOptions {
  /** What the body must look like; sent to the upstream as it came, so close it with `additionalProperties: false`. */
  schema?: TObject | undefined
}
