import type { TObject } from 'typebox'
import type { SessionTypes, User } from '../model/session.js'
import type { RedisClient } from '../store/redis/client.js'
import type { RedisOptions } from '../store/redis/open-client.js'
import type { SessionStore } from '../store/session-store.js'
import type { UpstreamClient } from '../upstream/upstream-client.js'
import type { CookieOptions } from './cookie-options.js'
import type { IdentityOptions } from './identity-options.js'
import type { RoutesOptions } from './route-options.js'
import type { HttpTokenCustodyOptions, HttpUpstreamOptions } from './upstream-options.js'

export type {
  BodyRouteOptions,
  EventsRouteOptions,
  RouteOptions,
  RoutesOptions,
  SecurityRequirement
} from './route-options.js'
export type { CookieOptions, HttpTokenCustodyOptions, HttpUpstreamOptions, IdentityOptions, RedisOptions }

/**
 * The options of the plugin. A wrong, unknown or contradictory option fails `register()` with
 * `FST_JWT_SESSION_INVALID_OPTION`. Invalid options never fall back to a default, and options are never mutated.
 */
export interface JwtSessionOptions {
  /** How tokens are signed, and their claims. */
  jwt: JwtOptions
  /**
   * The upstream, which checks credentials: its address, or a client for another protocol than JSON over HTTP.
   * Required, unless `routes.login` and `routes.register` are both false: then users log in by routes of the
   * application, and an upstream is only notified of logouts.
   */
  upstream?: HttpUpstreamOptions | UpstreamClient | undefined
  /**
   * Where sessions are stored: an ioredis `Redis` or `Cluster` such as `app.redis`, used unchanged and never closed; or
   * `{ url, …ioredis options }`, opened with settings for a request path and closed with the app. Only masters may be
   * read: `scaleReads` or `role` other than `master` is refused. Undefined, such as the decorator of a plugin that is
   * not loaded yet, fails `register()`. Default: without `redis` and `store`, the memory of this process.
   */
  redis?: RedisClient | RedisOptions
  /** A store of the application, instead of `redis`. Undefined fails `register()`. */
  store?: SessionStore
  /**
   * The fields of the upstream's user that a session stores; all other fields are dropped, and a missing field gets its
   * `default`. A string `id` is required; an integer id becomes its decimal string. At any depth the schema must be
   * made by `Type` of typebox 1, and each `format` must be registered. Default: `{ id: string }`.
   */
  userSchema?: DeclaredUserSchema | undefined
  /** Lifetimes of sessions, and limits per user and session. */
  session?: SessionOptions | undefined
  /** The paths of the plugin's routes, and which routes are mounted. */
  routes?: RoutesOptions | undefined
  /** The same as `routes.prefix`, under Fastify's own name. */
  prefix?: string
  /**
   * Milliseconds that a request may wait for the store before its handler runs, over all store calls and whatever the
   * timeouts of the client; then the reply is 503. Each `update()` and each call of `app.sessions` has as much time.
   * 1 to 2 147 483 647. Default 500.
   */
  storeTimeoutMs?: number | undefined
  /**
   * Whether `register()` waits until the store responds. After 5 s, or half of Fastify's `pluginTimeout` if less,
   * `register()` fails with `FST_JWT_SESSION_STORE_UNAVAILABLE`. When false, the app starts, and replies 503 until the
   * store responds. Default: true for a Redis connection of the plugin, false for an injected client or `store`.
   */
  requireStoreAtStart?: boolean | undefined
  /**
   * Replicas of Redis that must acknowledge the end of a session before a logout, `revoke()`, `revokeAll()` or a login
   * with the token of a session succeeds. With fewer acknowledgments the reply is 503 although the session has ended,
   * because a failover might restore the session. The plugin waits (WAIT) on a second connection for at most half of
   * `storeTimeoutMs`. Choose the number of all replicas that may become the master. Only with `redis`. 1 to 2 147 483
   * 647. Default: none.
   */
  minReplicas?: number | undefined
  /**
   * When the circuit breakers of the store and the upstream reply 503 at once: while the store or the upstream does not
   * respond, or while too many calls are in flight. A queue that only grows takes memory and helps no user.
   */
  breaker?: { store?: BreakerOptions | undefined; upstream?: BreakerOptions | undefined } | undefined
  /**
   * The directives of `Clear-Site-Data` when a session has ended: the browser deletes the data of the plugin's origin.
   * False: no such header. `Session-Ended` is always sent. With `cookie`, `'cookies'` and `'*'` fail `register()`.
   * Default `['storage']`.
   */
  clearSiteData?: readonly ClearSiteDataDirective[] | false | undefined
  /**
   * Whether a login sets an HttpOnly cookie, which guarded routes read when a request has no bearer token. Writes by the
   * cookie from a page of another origin are refused with 403 `FST_JWT_SESSION_CROSS_SITE`; a login, a registration and
   * a logout need a header of the page's origin too. `{}` takes the defaults. Clients that send `Session-Transport:
   * bearer` get a bearer token. Default false.
   */
  cookie?: CookieOptions | false | undefined
  /** Identity tokens for the services behind a proxy. Needs `routes.verify`. Default: none. */
  identity?: IdentityOptions | undefined
  /**
   * Whether this process caches verified sessions, so that most requests do not wait for Redis. Redis invalidates the
   * entries by client-side tracking. Where Redis has no tracking (before 6.0, or by an ACL), the plugin warns once with
   * `FST_JWT_SESSION_CACHE_UNAVAILABLE` and works without a cache. The in-memory store always has a cache. Default false.
   */
  cache?: boolean | CacheOptions | undefined
}

/** When the circuit breaker of the store or the upstream is open. */
export interface BreakerOptions {
  /**
   * Consecutive failures that open the circuit. A timeout or a broken connection is a failure; a rejection is a
   * response. 1 to 2 147 483 647. Default 5.
   */
  failures?: number | undefined
  /**
   * Milliseconds from opening until one call, the probe, is let through. A response to the probe closes the circuit;
   * without a response the next probe follows after the same time. 1 to 2 147 483 647. Default 250.
   */
  probeAfterMs?: number | undefined
  /** Calls in flight at the same time. 1 to 2 147 483 647. Default 10 000 for the store, 500 for the upstream. */
  maxInFlight?: number | undefined
}

/** How this process caches verified sessions. */
export interface CacheOptions {
  /**
   * The number of cached sessions, one to two kilobytes each without `data` and custom claims. The least recently used
   * entry is dropped first. 1 to 2 147 483 647. Default 10 000.
   */
  maxEntries?: number | undefined
  /**
   * Milliseconds until a silently broken connection to Redis is detected: the longest time that an ended session may
   * still be let in. On a working connection changes arrive within milliseconds. Redis gets four pings in this time.
   * 100 to 2 147 483 647. Default 1 000.
   */
  maxStaleMs?: number | undefined
}

/** A directive of the `Clear-Site-Data` header, without its quotes. */
export type ClearSiteDataDirective = 'cache' | 'clientHints' | 'cookies' | 'executionContexts' | 'storage' | '*'

/** The schema declared in {@link SessionTypes}, or any object schema when no schema is declared. */
type DeclaredUserSchema = SessionTypes extends { userSchema: infer Schema } ? Schema : TObject

/** Lifetimes of sessions, and limits per user and session. */
export interface SessionOptions {
  /**
   * Seconds from the login to the absolute expiry of a new session and its token, regardless of activity. Open sessions
   * keep their absolute expiry. 1 to 2 147 483 647. Default 43 200, 12 hours (OWASP ASVS 7.3.2).
   */
  ttlSeconds?: number | undefined
  /**
   * Seconds without activity until the idle expiry (OWASP ASVS 7.3.1): 1 to `ttlSeconds`, or false for no idle timeout.
   * The option applies to open sessions too. Activity is written at most once per tenth of this time, so a session may
   * end that tenth early. Time in which the store could not write activity does not count: an outage ends no session.
   * Default 1 800, half an hour, or `ttlSeconds` if less.
   */
  idleTimeoutSeconds?: number | false | undefined
  /**
   * Live sessions per user, which bound the memory that one user takes in Redis. A login ends at most 256 surplus
   * sessions, so a lowered limit takes effect after a few logins. Evictions by the default limit are logged at `warn`,
   * at most once a minute. 1 to 1 000. Default 100.
   */
  maxPerUser?: number | undefined
  /**
   * What a login over `maxPerUser` does: `'evict-oldest'` ends the user's session with the oldest written activity,
   * `'reject'` replies 409 `FST_JWT_SESSION_LIMIT_REACHED`. Default `'evict-oldest'`.
   */
  onMaxPerUser?: 'evict-oldest' | 'reject' | undefined
  /**
   * Bytes of JSON that the `data` of a session may have. Every verification reads the data. 0 to 65 536. Default 4 096.
   */
  maxDataBytes?: number | undefined
}

/** How tokens are signed, and their claims. */
export interface JwtOptions {
  /**
   * The HMAC secret, at least 32 bytes of randomness, such as `randomBytes(32).toString('base64')`; or several secrets:
   * the first secret signs, every secret verifies. A rotation has three steps, each on all instances: append the new
   * secret, move the new secret to the front, and, after `session.ttlSeconds`, remove the old secret. An instance that
   * does not know a secret rejects its tokens as forged, with the clear signal. Text of a public key is refused (RFC
   * 8725 2.1).
   */
  secret: Secret | readonly Secret[]
  /** The `iss` claim of every token, then required and compared exactly. Default: none. */
  issuer?: string | undefined
  /** The `aud` claim of every token, then required and compared exactly. Default: none. */
  audience?: string | undefined
  /**
   * Custom claims for other readers of the token, computed once per login. Claims are signed, not encrypted: the client
   * can read them. `iss`, `sub`, `aud`, `exp`, `nbf`, `iat` and `jti` cannot be overridden. Default: none.
   */
  claims?: ((user: User) => Record<string, unknown>) | undefined
}

/** Undefined, such as an environment variable that is not set, compiles and fails `register()`. */
type Secret = string | Uint8Array | undefined
