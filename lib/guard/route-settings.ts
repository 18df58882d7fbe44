import type { RouteOptions } from 'fastify'
import { InvalidOptionError } from '../errors.js'
import type { AnyRequest } from '../http/error-reply.js'
import { checkCount, checkFields, checkSwitch } from '../options/checks.js'
import { checkHooksOfRoute, hasGuard, hasGuardOfItsOwn } from './guard-hooks.js'

/** What `verifySession` does on one route: its `config.session`. */
export interface SessionRouteSettings {
  /** Whether a request without credentials is let through, with `request.session` null. Default false. */
  optional?: boolean | undefined
  /**
   * Seconds since the login after which the route asks for a new one, with 401 `FST_JWT_SESSION_NOT_FRESH` and without
   * ending the session: 1 to 2 147 483 647. For a changed password or a payment (OWASP ASVS 7.5.1). Default: never.
   */
  freshSeconds?: number | undefined
  /** Whether a request is activity, which extends the idle expiry of the session. Default true. */
  slide?: boolean | undefined
}

/** Every setting of a route, with its default. */
export interface ResolvedRouteSettings {
  /** Whether the route is exempt from the guard of its scope. */
  isPublic: boolean
  optional: boolean
  /** Infinity: any login is fresh. */
  freshSeconds: number
  slide: boolean
}

const OPTION = 'config.session'
const FIELDS: (keyof SessionRouteSettings)[] = ['optional', 'freshSeconds', 'slide']

/** Only what the config and its settings have of their own counts: nothing of `Object.prototype` opens a route. */
function resolveSettings(config: object | undefined): ResolvedRouteSettings {
  const { session = {} }: { session?: SessionRouteSettings | false } = ownFields(config)
  const isPublic = session === false
  const { optional, freshSeconds, slide } = ownFields(isPublic ? {} : checkFields(OPTION, session, FIELDS))
  return {
    isPublic,
    optional: checkSwitch(`${OPTION}.optional`, optional, false),
    freshSeconds: checkCount(`${OPTION}.freshSeconds`, freshSeconds, Number.POSITIVE_INFINITY),
    slide: checkSwitch(`${OPTION}.slide`, slide, true)
  }
}

function ownFields<T extends object>(value: T | undefined): T {
  return Object.assign(Object.create(null), value)
}

/**
 * Checks a route at its registration.
 *
 * @throws {InvalidOptionError} for settings that are wrong, for a guard in a hook that is too late, and for a route that
 * names the guard and is exempt from the guard
 */
export function checkRoute(route: RouteOptions): void {
  // Fastify would copy it into the route.
  if (!Object.hasOwn(route, 'config') && route.config !== undefined) route.config = {}
  checkHooksOfRoute(route)
  if (resolveSettings(route.config).isPublic && hasGuard(route)) throw contradiction()
}

/** By the config, of which Fastify gives each route its own. */
const settingsByConfig = new WeakMap<object, ResolvedRouteSettings>()

/**
 * The settings of the route of a request. They are resolved at the first request: a route that was there before the plugin,
 * or that another `onRoute` hook has changed, has not been checked at its registration.
 *
 * @throws {InvalidOptionError} at each request, as {@link checkRoute}
 */
export function settingsOf(request: AnyRequest): ResolvedRouteSettings {
  const { config } = request.routeOptions
  return settingsByConfig.get(config) ?? resolveSettingsOf(request, config)
}

function resolveSettingsOf(request: AnyRequest, config: object): ResolvedRouteSettings {
  const settings = resolveSettings(config)
  if (settings.isPublic && hasGuardOfItsOwn(request)) throw contradiction()
  // The handlers of what is not found may share a config: one of them with the guard, and one without.
  if (!request.is404) settingsByConfig.set(config, settings)
  return settings
}

function contradiction(): InvalidOptionError {
  return new InvalidOptionError(OPTION, 'must not be false on a route that names verifySession itself')
}
