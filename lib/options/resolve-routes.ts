import type { FastifyContextConfig } from 'fastify'
import { IsObject, type TObject } from 'typebox'
import { InvalidOptionError } from '../errors.js'
import { defaultLoginSchema, defaultRegisterSchema } from '../http/schemas.js'
import { isPlainObject } from '../internal/json.js'
import type { SessionStore } from '../store/session-store.js'
import { checkFields, checkInteger, checkPath, hasMethods, orDefaultEmpty } from './checks.js'
import type {
  BodyRouteOptions,
  EventsRouteOptions,
  JwtSessionOptions,
  RouteOptions,
  RoutesOptions,
  SecurityRequirement
} from './options.js'
import type { SessionRouteSettings } from './session-route-settings.js'

/** The routes of the plugin with every default; false: not mounted. */
export interface ResolvedRoutes {
  prefix: string
  login: BodyRoute | false
  register: BodyRoute | false
  logout: Route | false
  session: Route | false
  sessions: Route | false
  events: EventsRoute | false
  verify: Route | false
  /** Spread into the schemas of the guarded routes. */
  security: { security?: readonly SecurityRequirement[] }
}

/** A mounted route. */
export interface Route {
  /** Below the prefix. */
  path: string
  /** Fastify's config of the route, with the settings of the guard. */
  config: FastifyContextConfig
}

/** A mounted route with a body. */
export interface BodyRoute extends Route {
  schema: TObject
}

/** The mounted route of event streams. */
export interface EventsRoute extends Route {
  heartbeatSeconds: number
  maxOpen: number
}

/**
 * @param canRegister whether the upstream supports registration
 * @throws {InvalidOptionError}
 */
export function resolveRoutes(options: JwtSessionOptions, canRegister: boolean): ResolvedRoutes {
  const routes: RoutesOptions = checkFields('routes', orDefaultEmpty(options.routes), ['prefix', 'security', ...ROUTES])
  if (routes.register && !canRegister) {
    throw new InvalidOptionError('routes.register', 'needs an upstream with a `register` method')
  }
  const resolved = {
    prefix: resolvePrefix(options.prefix, routes.prefix),
    login: resolveBodyRoute('login', routes.login, defaultLoginSchema),
    register: canRegister && resolveBodyRoute('register', routes.register, defaultRegisterSchema),
    logout: resolveRoute('logout', routes.logout, PUBLIC),
    // Reading the expiry must not extend the session.
    session: resolveRoute('session', routes.session, { settings: { slide: false } }),
    sessions: routes.sessions !== undefined && resolveRoute('sessions', routes.sessions, { settings: {} }),
    events: resolveEvents(options.store, routes.events),
    // The query has the settings, so the guard of a scope must not judge the request by others.
    verify: routes.verify !== undefined && resolveRoute('verify', routes.verify, PUBLIC),
    security: resolveSecurity(routes.security)
  }
  const paths = ROUTES.flatMap((name) => resolved[name] || []).map(({ path }) => path)
  if (new Set(paths).size < paths.length) throw new InvalidOptionError('routes', 'must not have the same path twice')
  return resolved
}

const ROUTES = ['login', 'register', 'logout', 'session', 'sessions', 'events', 'verify'] as const

function resolvePrefix(fastifyPrefix: string | undefined, prefix: string | undefined): string {
  if (fastifyPrefix !== undefined && prefix !== undefined && fastifyPrefix !== prefix) {
    throw new InvalidOptionError('routes.prefix', 'contradicts `prefix`: give one')
  }
  const chosen = prefix === undefined ? fastifyPrefix : prefix
  return chosen === '' || chosen === '/' ? '' : checkPath('routes.prefix', chosen, '/user')
}

interface RouteKind {
  /** Settings of the guard; false: the route is public. */
  settings: SessionRouteSettings | false
  fields?: readonly string[]
  /** Default: the name of the route. */
  defaultPath?: string
}

const PUBLIC: RouteKind = { settings: false }

function resolveRoute(name: string, route: RouteOptions | false = {}, kind: RouteKind): Route | false {
  if (route === false) return false
  const option = `routes.${name}`
  const { path, config } = checkFields(option, route, ['path', 'config', ...(kind.fields ?? [])])
  return {
    path: checkPath(`${option}.path`, path, kind.defaultPath ?? `/${name}`),
    config: resolveConfig(`${option}.config`, config, kind)
  }
}

/** A copy of the host's config of a route, with the settings of the guard. */
function resolveConfig(
  option: string,
  given: FastifyContextConfig = {},
  { settings }: RouteKind
): FastifyContextConfig {
  if (!isPlainObject(given)) throw new InvalidOptionError(option, 'must be a plain object')
  const { session, ...config } = { session: undefined, ...given }
  if (settings !== false) return { ...config, session: mergeSettings(`${option}.session`, settings, session) }
  if (session !== undefined) throw new InvalidOptionError(`${option}.session`, NO_SETTINGS)
  return { ...config, session: false }
}

const NO_SETTINGS = 'must not be set: login, register and logout are public, and the query of verify has its settings'

/** The guard checks the values when the route is added. */
function mergeSettings(option: string, defaults: SessionRouteSettings, given: unknown): SessionRouteSettings {
  const settings: object = checkFields(option, orDefaultEmpty(given as object | undefined), ['freshSeconds', 'slide'])
  const isGiven = ([, value]: [string, unknown]) => value !== undefined
  return { ...defaults, ...Object.fromEntries(Object.entries(settings).filter(isGiven)) }
}

function resolveBodyRoute(
  name: string,
  route: BodyRouteOptions | false = {},
  defaultSchema: TObject
): BodyRoute | false {
  const resolved = resolveRoute(name, route, { ...PUBLIC, fields: ['schema'] })
  if (!resolved || !route) return false
  const { schema = defaultSchema } = route
  if (!IsObject(schema)) throw new InvalidOptionError(`routes.${name}.schema`, 'must be a TypeBox object schema')
  return { ...resolved, schema }
}

function resolveEvents(
  store: SessionStore | undefined,
  route: EventsRouteOptions | false = false
): EventsRoute | false {
  const kind = { settings: { slide: false }, defaultPath: '/session/events', fields: ['heartbeatSeconds', 'maxOpen'] }
  const resolved = resolveRoute('events', route, kind)
  if (!resolved || !route) return false
  if (store !== undefined && !hasMethods<SessionStore>(store, 'track')) {
    throw new InvalidOptionError('routes.events', 'needs `redis`, or a `store` with the method track()')
  }
  return {
    ...resolved,
    heartbeatSeconds: checkInteger('routes.events.heartbeatSeconds', route.heartbeatSeconds, 25, { min: 5, max: 300 }),
    maxOpen: checkInteger('routes.events.maxOpen', route.maxOpen, 10_000)
  }
}

function resolveSecurity(security: unknown): ResolvedRoutes['security'] {
  if (security === undefined) return {}
  if (Array.isArray(security) && security.every(isRequirement)) return { security: structuredClone(security) }
  throw new InvalidOptionError('routes.security', 'must list OpenAPI security requirements, such as { bearerAuth: [] }')
}

function isRequirement(requirement: unknown): boolean {
  const isScopes = (scopes: unknown) => Array.isArray(scopes) && scopes.every((scope) => typeof scope === 'string')
  return isPlainObject(requirement) && Object.values(requirement).every(isScopes)
}
