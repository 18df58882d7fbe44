import { IsObject, IsString, type TObject } from 'typebox'
import { InvalidOptionError } from '../errors.js'
import { defaultLoginSchema, defaultRegisterSchema, defaultUserSchema } from '../schemas.js'
import type { User } from '../session.js'
import type { SessionStore } from '../store/session-store.js'
import type { UpstreamClient } from '../upstream/upstream-client.js'
import { checkCount, checkFields, checkOptionalFunction, checkOptionalText, checkPath, hasMethods } from './checks.js'
import type { BodyRouteOptions, JwtSessionOptions } from './options.js'
import { type RedisChoice, resolveRedis } from './resolve-redis.js'
import { resolveSecrets } from './resolve-secrets.js'
import { type ResolvedHttpUpstream, resolveHttpUpstream } from './resolve-upstream.js'

/** The options after every check and with every default: a copy, but for schemas, functions and what is injected. */
export interface ResolvedOptions {
  jwt: {
    /** One or more; the first one signs. */
    secrets: readonly Buffer[]
    issuer: string | undefined
    audience: string | undefined
    claims: (user: User) => Record<string, unknown>
  }
  store: StoreChoice
  storeTimeoutMs: number
  upstream: UpstreamChoice
  userSchema: TObject
  ttlSeconds: number
  routes: {
    prefix: string
    login: BodyRoute | false
    register: BodyRoute | false
    logout: { path: string } | false
  }
  /** The header's value, or null for no header. */
  clearSiteData: string | null
}

export type StoreChoice =
  // By mistake: `redis` or `store` was given, and was undefined.
  { kind: 'memory'; byMistake: boolean } | { kind: 'custom'; store: SessionStore } | RedisChoice

export type UpstreamChoice =
  | { kind: 'custom'; client: UpstreamClient }
  | { kind: 'http'; options: ResolvedHttpUpstream }

/** A route that is mounted, and the schema of its body. */
export interface BodyRoute {
  path: string
  schema: TObject
}

/** @throws {InvalidOptionError} naming the option and the rule, never the value */
export function resolveOptions(input: JwtSessionOptions): ResolvedOptions {
  const options = checkFields('', input, OPTIONS)
  const jwt = checkFields('jwt', options.jwt, ['secret', 'issuer', 'audience', 'claims'])
  const session = checkFields('session', orEmpty(options.session), ['ttlSeconds'])
  const upstream = resolveUpstream(options.upstream)
  return {
    jwt: {
      secrets: resolveSecrets(jwt.secret),
      issuer: checkOptionalText('jwt.issuer', jwt.issuer),
      audience: checkOptionalText('jwt.audience', jwt.audience),
      claims: checkOptionalFunction('jwt.claims', jwt.claims) ?? (() => ({}))
    },
    store: resolveStore(options),
    storeTimeoutMs: checkCount('storeTimeoutMs', options.storeTimeoutMs, 500),
    upstream,
    userSchema: resolveUserSchema(options.userSchema),
    ttlSeconds: checkCount('session.ttlSeconds', session.ttlSeconds, 43_200),
    routes: resolveRoutes(options, upstream),
    clearSiteData: resolveClearSiteData(options.clearSiteData)
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
  'clearSiteData',
  'prefix',
  // Fastify's own, which arrive with ours.
  'logLevel',
  'logSerializers'
]

/** Only undefined means "the default": null is a mistake that should be told. */
function orEmpty<T extends object>(value: T | undefined): T {
  return value === undefined ? ({} as T) : value
}

function resolveStore(options: JwtSessionOptions): StoreChoice {
  const { redis, store } = options
  if (redis !== undefined && store !== undefined) throw new InvalidOptionError('store', 'contradicts `redis`: give one')
  if (redis !== undefined) return resolveRedis(redis)
  if (store === undefined) return { kind: 'memory', byMistake: 'redis' in options || 'store' in options }
  if (hasMethods<SessionStore>(store, 'create', 'find', 'delete')) return { kind: 'custom', store }
  throw new InvalidOptionError('store', 'must have the methods `create`, `find` and `delete`')
}

function resolveUpstream(upstream: JwtSessionOptions['upstream']): UpstreamChoice {
  if (hasMethods<UpstreamClient>(upstream, 'login')) {
    checkOptionalFunction('upstream.register', upstream.register)
    checkOptionalFunction('upstream.logout', upstream.logout)
    return { kind: 'custom', client: upstream }
  }
  return { kind: 'http', options: resolveHttpUpstream(upstream) }
}

function resolveUserSchema(schema: TObject = defaultUserSchema): TObject {
  if (!IsObject(schema)) throw new InvalidOptionError('userSchema', 'must be a TypeBox object schema')
  const { properties, required } = schema
  if (!IsString(properties.id) || !required?.includes('id')) {
    throw new InvalidOptionError('userSchema', 'must have a required string `id`')
  }
  return schema
}

function resolveClearSiteData(directives: JwtSessionOptions['clearSiteData'] = ['storage']): string | null {
  if (directives === false) return null
  if (!Array.isArray(directives) || directives.length === 0 || !directives.every((name) => DIRECTIVES.includes(name))) {
    throw new InvalidOptionError('clearSiteData', `must be false or list some of ${DIRECTIVES.join(', ')}`)
  }
  return directives.map((name) => `"${name}"`).join(', ')
}

const DIRECTIVES = ['cache', 'clientHints', 'cookies', 'executionContexts', 'storage', '*']

function resolveRoutes(options: JwtSessionOptions, upstream: UpstreamChoice): ResolvedOptions['routes'] {
  const routes = checkFields('routes', orEmpty(options.routes), ['prefix', 'login', 'register', 'logout'])
  const canRegister = upstream.kind === 'http' || upstream.client.register !== undefined
  if (routes.register && !canRegister) {
    throw new InvalidOptionError('routes.register', 'needs an upstream with a `register` method')
  }
  const resolved = {
    prefix: resolvePrefix(options.prefix, routes.prefix),
    login: resolveBodyRoute('login', routes.login, defaultLoginSchema),
    register: canRegister && resolveBodyRoute('register', routes.register, defaultRegisterSchema),
    logout: resolveRoute('logout', routes.logout)
  }
  const paths = [resolved.login, resolved.register, resolved.logout].flatMap((route) => (route ? [route.path] : []))
  if (new Set(paths).size < paths.length) throw new InvalidOptionError('routes', 'must have different paths')
  return resolved
}

function resolvePrefix(fastifyPrefix: string | undefined, prefix: string | undefined): string {
  if (fastifyPrefix !== undefined && prefix !== undefined && fastifyPrefix !== prefix) {
    throw new InvalidOptionError('routes.prefix', 'contradicts `prefix`: give one')
  }
  const chosen = prefix === undefined ? fastifyPrefix : prefix
  return chosen === '' || chosen === '/' ? '' : checkPath('routes.prefix', chosen, '/user')
}

function resolveRoute(name: string, route: { path?: string | undefined } | false = {}, known = ['path']) {
  if (route === false) return false as const
  const option = `routes.${name}`
  return { path: checkPath(`${option}.path`, checkFields(option, route, known).path, `/${name}`) }
}

function resolveBodyRoute(name: string, route: BodyRouteOptions | false = {}, byDefault: TObject): BodyRoute | false {
  const resolved = resolveRoute(name, route, ['path', 'schema'])
  if (!resolved || !route) return false
  const { schema = byDefault } = route
  if (!IsObject(schema)) throw new InvalidOptionError(`routes.${name}.schema`, 'must be a TypeBox object schema')
  return { ...resolved, schema }
}
