import type { RouteOptions } from 'fastify'
import { InvalidOptionError } from '../errors.js'
import type { AnyRequest } from '../http/error-reply.js'
import { checkBoolean, checkFields, checkInteger } from '../options/checks.js'
import type { SessionRouteSettings } from '../options/session-route-settings.js'
import { checkHooksOfRoute, hasGuard, hasRouteGuard } from './guard-hooks.js'

/** The settings of a route after all checks, with defaults. */
export interface ResolvedRouteSettings {
  /** Whether the route is exempt from the guard of its scope. */
  isPublic: boolean
  optional: boolean
  /** Infinity: no maximum. */
  freshSeconds: number
  slide: boolean
}

const OPTION = 'config.session'
const FIELDS: (keyof SessionRouteSettings)[] = ['optional', 'freshSeconds', 'slide']

/** Reads own properties only: a polluted `Object.prototype` must not make a route public. */
function resolveSettings(config: object | undefined): ResolvedRouteSettings {
  const { session = {} }: { session?: SessionRouteSettings | false } = ownFields(config)
  const isPublic = session === false
  const { optional, freshSeconds, slide } = ownFields(isPublic ? {} : checkFields(OPTION, session, FIELDS))
  return {
    isPublic,
    optional: checkBoolean(`${OPTION}.optional`, optional, false),
    freshSeconds: checkInteger(`${OPTION}.freshSeconds`, freshSeconds, Number.POSITIVE_INFINITY),
    slide: checkBoolean(`${OPTION}.slide`, slide, true)
  }
}

function ownFields<T extends object>(value: T | undefined): T {
  return Object.assign(Object.create(null), value)
}

/**
 * Checks a route at registration.
 *
 * @throws {InvalidOptionError} invalid settings, a guard in a hook after the handler, or a guard on an exempt route
 */
export function checkRoute(route: RouteOptions): void {
  // Fastify would copy a config of the prototype into the route.
  if (!Object.hasOwn(route, 'config') && route.config !== undefined) route.config = {}
  checkHooksOfRoute(route)
  if (resolveSettings(route.config).isPublic && hasGuard(route)) throw guardedAndExempt()
}

/** Settings by config: Fastify creates a config object for each route. */
const settingsByConfig = new WeakMap<object, ResolvedRouteSettings>()

/**
 * The settings of the request's route, resolved at the first request: checkRoute() has not seen routes from before the
 * plugin and changes of other `onRoute` hooks.
 *
 * @throws {InvalidOptionError} at each request, like {@link checkRoute}
 */
export function settingsOf(request: AnyRequest): ResolvedRouteSettings {
  const { config } = request.routeOptions
  return settingsByConfig.get(config) ?? resolveSettingsOf(request, config)
}

function resolveSettingsOf(request: AnyRequest, config: object): ResolvedRouteSettings {
  const settings = resolveSettings(config)
  if (settings.isPublic && hasRouteGuard(request)) throw guardedAndExempt()
  // Not-found handlers may share a config, with the guard and without.
  if (!request.is404) settingsByConfig.set(config, settings)
  return settings
}

function guardedAndExempt(): InvalidOptionError {
  return new InvalidOptionError(OPTION, 'must not be false on a route that names verifySession itself')
}
