import type { TObject } from 'typebox'
import { InvalidOptionError } from '../errors.js'
import type { User } from '../model/session.js'
import type { SessionStore } from '../store/session-store.js'
import type { StoreChoice } from '../store/store-config.js'
import type { UpstreamClient } from '../upstream/upstream-client.js'
import { tokensConfigOf, type UpstreamChoice } from '../upstream/upstream-config.js'
import {
  checkBoolean,
  checkFields,
  checkInteger,
  checkOptionalFunction,
  checkOptionalText,
  hasMethods
} from './checks.js'
import type { JwtSessionOptions } from './options.js'
import { type ResolvedBreakers, resolveBreakers } from './resolve-breaker.js'
import { type ResolvedCookie, resolveCookie } from './resolve-cookie.js'
import { type ResolvedIdentity, resolveIdentity } from './resolve-identity.js'
import { resolveRedis } from './resolve-redis.js'
import { type ResolvedRoutes, resolveRoutes } from './resolve-routes.js'
import { resolveSecrets } from './resolve-secrets.js'
import { type ResolvedSession, resolveSession } from './resolve-session.js'
import { DEFAULT_TIMEOUT_MS, resolveHttpUpstream } from './resolve-upstream.js'
import { resolveTokens } from './resolve-upstream-tokens.js'
import { resolveUserSchema } from './resolve-user-schema.js'

/** The checked options with every default. Only schemas, functions and injected objects are not copied. */
export interface ResolvedOptions {
  jwt: {
    /** At least one secret; the first secret signs. */
    secrets: readonly Buffer[]
    issuer: string | undefined
    audience: string | undefined
    claims: ((user: User) => Record<string, unknown>) | undefined
  }
  store: StoreChoice
  storeTimeoutMs: number
  requireStoreAtStart: boolean
  /** Null: no wait for replicas. */
  minReplicas: number | null
  breaker: ResolvedBreakers
  /** Null: no upstream, and neither a login nor a register route. */
  upstream: UpstreamChoice | null
  userSchema: TObject
  session: ResolvedSession
  routes: ResolvedRoutes
  /** The value of `Clear-Site-Data`; null: no such header. */
  clearSiteData: string | null
  /** Null: only bearer tokens. */
  cookie: ResolvedCookie | null
  /** Null: no identity tokens. */
  identity: ResolvedIdentity | null
  /** Null: no cache. */
  cache: ResolvedCache | null
}

/** The options of the cache with every default. */
export interface ResolvedCache {
  maxEntries: number
  maxStaleMs: number
}

/**
 * Checks the options and fills in defaults.
 *
 * @throws {InvalidOptionError} names the option and the rule, never the value
 */
export function resolveOptions(input: JwtSessionOptions): ResolvedOptions {
  const options = checkFields('', input, OPTIONS)
  const jwt = checkFields('jwt', options.jwt, ['secret', 'issuer', 'audience', 'claims'])
  const secrets = resolveSecrets(jwt.secret)
  const store = resolveStore(options)
  const upstream = resolveUpstream(options, secrets)
  checkTokenStore(store, upstream)
  const routes = resolveRoutes(options, upstream?.kind === 'http' || upstream?.client.register !== undefined)
  const tokens = upstream === null ? undefined : tokensConfigOf(upstream)
  const identity = resolveIdentity(options.identity, [...secrets, ...(tokens?.secrets ?? [])])
  if (identity !== null && !routes.verify) throw new InvalidOptionError('identity', 'needs `routes.verify`')
  return {
    jwt: {
      secrets,
      issuer: checkOptionalText('jwt.issuer', jwt.issuer),
      audience: checkOptionalText('jwt.audience', jwt.audience),
      claims: checkOptionalFunction('jwt.claims', jwt.claims)
    },
    store,
    storeTimeoutMs: checkInteger('storeTimeoutMs', options.storeTimeoutMs, 500),
    requireStoreAtStart: checkBoolean(
      'requireStoreAtStart',
      options.requireStoreAtStart,
      store.kind === 'redis-options'
    ),
    minReplicas: resolveMinReplicas(options.minReplicas, store),
    breaker: resolveBreakers(options.breaker),
    upstream,
    userSchema: resolveUserSchema(options.userSchema),
    session: resolveSession(options.session),
    routes,
    clearSiteData: resolveClearSiteData(options),
    cookie: resolveCookie(options.cookie),
    identity,
    cache: resolveCache(options)
  }
}

const OPTIONS: (keyof JwtSessionOptions | 'logLevel' | 'logSerializers')[] = [
  'jwt',
  'redis',
  'store',
  'upstream',
  'userSchema',
  'session',
  'routes',
  'storeTimeoutMs',
  'requireStoreAtStart',
  'minReplicas',
  'breaker',
  'clearSiteData',
  'cookie',
  'identity',
  'cache',
  'prefix',
  // Fastify's own options of register(), which the plugin receives too.
  'logLevel',
  'logSerializers'
]

function resolveStore(options: JwtSessionOptions): StoreChoice {
  const { redis, store } = options
  const undefinedName = (['redis', 'store'] as const).find((name) => name in options && options[name] === undefined)
  if (undefinedName !== undefined) throw new InvalidOptionError(undefinedName, UNDEFINED_STORE)
  if (redis !== undefined && store !== undefined)
    throw new InvalidOptionError('store', 'contradicts `redis`: set one of both')
  if (redis !== undefined) return resolveRedis(redis)
  if (store === undefined) return { kind: 'memory' }
  if (hasMethods<SessionStore>(store, ...STORE_METHODS)) return { kind: 'custom', store }
  throw new InvalidOptionError('store', `must have the methods ${STORE_METHODS.join(', ')}`)
}

// A silent fall back to memory would end the sessions of a production app with its process.
const UNDEFINED_STORE =
  'is undefined: leave it out for the in-memory store, or await the registration that it comes from'

const STORE_METHODS: (keyof SessionStore)[] = ['create', 'find', 'replace', 'end', 'endAll', 'list']

function resolveMinReplicas(minReplicas: unknown, { kind }: StoreChoice): number | null {
  const count = checkInteger('minReplicas', minReplicas, null)
  if (count !== null && (kind === 'memory' || kind === 'custom')) {
    throw new InvalidOptionError('minReplicas', 'needs `redis`: no other store has replicas to wait for')
  }
  return count
}

/** @throws {InvalidOptionError} the store cannot hold the upstream's tokens */
function checkTokenStore(store: StoreChoice, upstream: UpstreamChoice | null): void {
  if (store.kind !== 'custom' || upstream === null || tokensConfigOf(upstream) === undefined) return
  if (hasMethods<SessionStore>(store.store, ...TOKEN_METHODS)) return
  throw new InvalidOptionError('store', `must have the methods ${TOKEN_METHODS.join(', ')} for \`upstream.tokens\``)
}

const TOKEN_METHODS = ['readTokens', 'writeTokens'] as const

function resolveUpstream(
  { upstream, routes }: JwtSessionOptions,
  jwtSecrets: readonly Buffer[]
): UpstreamChoice | null {
  if (upstream === undefined) {
    if (routes?.login === false && routes.register === false) return null
    throw new InvalidOptionError('upstream', 'is required, unless `routes.login` and `routes.register` are both false')
  }
  if (hasMethods<UpstreamClient>(upstream, 'login')) {
    checkOptionalFunction('upstream.register', upstream.register)
    checkOptionalFunction('upstream.logout', upstream.logout)
    const timeoutMs = checkInteger('upstream.timeoutMs', upstream.timeoutMs, DEFAULT_TIMEOUT_MS)
    return { kind: 'custom', client: upstream, timeoutMs, tokens: resolveTokens(upstream.tokens, jwtSecrets) }
  }
  return { kind: 'http', options: resolveHttpUpstream(upstream, jwtSecrets) }
}

function resolveClearSiteData({ clearSiteData: directives = ['storage'], cookie }: JwtSessionOptions): string | null {
  if (directives === false) return null
  if (!Array.isArray(directives) || directives.length === 0 || !directives.every((name) => DIRECTIVES.includes(name))) {
    throw new InvalidOptionError('clearSiteData', `must be false or an array of ${DIRECTIVES.join(', ')}`)
  }
  if (cookie && directives.some((name) => name === 'cookies' || name === '*')) {
    throw new InvalidOptionError('clearSiteData', CLEARED_COOKIE)
  }
  return directives.map((name) => `"${name}"`).join(', ')
}

const CLEARED_COOKIE =
  'must not have `cookies` or `*` with `cookie`: a late answer about an old session would delete the cookie of a ' +
  'new session'

const DIRECTIVES = ['cache', 'clientHints', 'cookies', 'executionContexts', 'storage', '*']

function resolveCache({ cache = false, store }: JwtSessionOptions): ResolvedCache | null {
  if (cache === false) return null
  if (store !== undefined && !hasMethods<SessionStore>(store, 'track')) {
    throw new InvalidOptionError('cache', 'needs `redis`, or a `store` with the method track()')
  }
  const options = checkFields('cache', cache === true ? {} : cache, ['maxEntries', 'maxStaleMs'])
  return {
    maxEntries: checkInteger('cache.maxEntries', options.maxEntries, 10_000),
    maxStaleMs: checkInteger('cache.maxStaleMs', options.maxStaleMs, 1_000, { min: 100 })
  }
}
