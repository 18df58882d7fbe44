import { IsObject, type TObject } from 'typebox'
import { InvalidOptionError } from '../errors.js'
import { defaultLoginSchema, defaultRegisterSchema } from '../http/schemas.js'
import { checkFields, checkPath, orEmpty } from './checks.js'
import type { BodyRouteOptions, JwtSessionOptions, RouteOptions } from './options.js'

/** The routes to mount; false for one that is not. */
export interface ResolvedRoutes {
  prefix: string
  login: BodyRoute | false
  register: BodyRoute | false
  logout: Route | false
  session: Route | false
  sessions: Route | false
}

/** A route that is mounted. */
export interface Route {
  path: string
}

/** A route that is mounted, and the schema of its body. */
export interface BodyRoute extends Route {
  schema: TObject
}

/**
 * @param canRegister whether the upstream knows how to
 * @throws {InvalidOptionError}
 */
export function resolveRoutes(options: JwtSessionOptions, canRegister: boolean): ResolvedRoutes {
  const routes = checkFields('routes', orEmpty(options.routes), ['prefix', ...ROUTES])
  if (routes.register && !canRegister) {
    throw new InvalidOptionError('routes.register', 'needs an upstream with a `register` method')
  }
  const resolved = {
    prefix: resolvePrefix(options.prefix, routes.prefix),
    login: resolveBodyRoute('login', routes.login, defaultLoginSchema),
    register: canRegister && resolveBodyRoute('register', routes.register, defaultRegisterSchema),
    logout: resolveRoute('logout', routes.logout),
    session: resolveRoute('session', routes.session),
    sessions: routes.sessions !== undefined && resolveRoute('sessions', routes.sessions)
  }
  const paths = ROUTES.flatMap((name) => resolved[name] || []).map(({ path }) => path)
  if (new Set(paths).size < paths.length) throw new InvalidOptionError('routes', 'must have different paths')
  return resolved
}

const ROUTES = ['login', 'register', 'logout', 'session', 'sessions'] as const

function resolvePrefix(fastifyPrefix: string | undefined, prefix: string | undefined): string {
  if (fastifyPrefix !== undefined && prefix !== undefined && fastifyPrefix !== prefix) {
    throw new InvalidOptionError('routes.prefix', 'contradicts `prefix`: give one')
  }
  const chosen = prefix === undefined ? fastifyPrefix : prefix
  return chosen === '' || chosen === '/' ? '' : checkPath('routes.prefix', chosen, '/user')
}

function resolveRoute(name: string, route: RouteOptions | false = {}, known = ['path']) {
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
