import type { FastifyContextConfig } from 'fastify'
import type { TObject } from 'typebox'

/** The plugin's routes. */
export interface RoutesOptions {
  /** The prefix of every route of the plugin. Default `/user`. */
  prefix?: string | undefined
  /** `POST`. Default path `/login`, body `{ username, password }`. False: no such route. */
  login?: BodyRouteOptions | false | undefined
  /** `POST`. Default path `/register`, body `{ username, password, email? }`. False: no such route. */
  register?: BodyRouteOptions | false | undefined
  /** `POST`. Default path `/logout`. False: no such route. */
  logout?: RouteOptions | false | undefined
  /**
   * `GET`: the user and the expiry of the session. `POST`: the same after an extension, for "stay logged in". Default
   * path `/session`. False: no such routes.
   */
  session?: RouteOptions | false | undefined
  /**
   * `GET`, `DELETE` and `DELETE /:id`: the user's own sessions. Default path `/sessions`. Default false: no such
   * routes.
   */
  sessions?: RouteOptions | false | undefined
  /**
   * `GET`: a stream of server-sent events that ends with the session, for pages. Default path `/session/events`. Needs a
   * store that reports changes: `redis`, memory, or a `store` with `track()`. Where Redis does not allow tracking, the
   * plugin warns with `FST_JWT_SESSION_EVENTS_UNAVAILABLE`, and an end is noticed within 5 s. Default false: no such route.
   */
  events?: EventsRouteOptions | false | undefined
  /**
   * All methods: verifies the request of a proxy (nginx `auth_request`, Caddy `forward_auth`, Traefik ForwardAuth) like
   * the guard. 204 with `Session-User`, the user's id percent-encoded, and with the option `identity` with
   * `Session-Token`. The proxy may ask for the settings of a route by the query: `fresh_seconds`, `slide`, `optional`.
   * Clients must not reach this route. Default path `/verify`. Default false: no such route.
   */
  verify?: RouteOptions | false | undefined
  /**
   * OpenAPI security requirements of the guarded routes (`session`, `sessions`, `events`, `verify`), such as
   * `[{ bearerAuth: [] }]`, so that pages of API documentation send the token. @fastify/swagger throws unless the scheme is declared. Default:
   * none.
   */
  security?: readonly SecurityRequirement[] | undefined
}

/** Scopes by the name of each security scheme; scopes are empty except for OAuth 2. */
export type SecurityRequirement = Readonly<Record<string, readonly string[]>>

/** A route without a body. */
export interface RouteOptions {
  /** The path below the prefix. Default: see {@link RoutesOptions}. */
  path?: string | undefined
  /**
   * Fastify's config of the route, which other plugins read, such as @fastify/rate-limit. Copied. On guarded routes
   * `session` may set `freshSeconds` and `slide`. Default: none.
   */
  config?: (FastifyContextConfig & Record<string, unknown>) | undefined
}

/** The route of event streams. */
export interface EventsRouteOptions extends RouteOptions {
  /** Seconds between two heartbeats, which keep proxies from closing a silent stream: 5 to 300. Default 25. */
  heartbeatSeconds?: number | undefined
  /**
   * Open streams of this process. Over the limit, and over 50 streams of one user (429), the reply is 503
   * `FST_JWT_SESSION_EVENTS_FULL`. A stream takes about 14 KB. 1 to 2 147 483 647. Default 10 000.
   */
  maxOpen?: number | undefined
}

/** A route with a body. */
export interface BodyRouteOptions extends RouteOptions {
  /**
   * The schema of the body, a TypeBox object. The upstream gets the body unchanged: use `additionalProperties: false`.
   * Default: see {@link RoutesOptions}.
   */
  schema?: TObject | undefined
}
