import type { FastifyInstance, RouteOptions } from 'fastify'
import { InvalidOptionError } from '../errors.js'
import type { AnyRequest } from '../http/error-reply.js'

/**
 * The name of every guard function, also in other copies of this package. Fastify binds each hook to a scope and lists
 * hooks by name in `printRoutes()`: only the name identifies a guard. An application is unlikely to have a function of
 * this name.
 */
const GUARD_NAME = 'verifySession of fastify-jwt-session'

/** Sets the name that identifies a function as a guard. */
export function nameGuard<T extends object>(guard: T): T {
  return Object.defineProperty(guard, 'name', { value: GUARD_NAME })
}

/** Hooks before the handler. */
const GUARD_HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

const LATE_HOOKS = ['preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort'] as const

type HookName = (typeof GUARD_HOOKS | typeof LATE_HOOKS)[number]

/** The hooks of a route or scope in Fastify's format: a function, an array or undefined for each name. */
type Hooks = Partial<Record<HookName, unknown>>

/** The error for a guard in a hook after the handler, such as `onSend`. */
function lateHookError(hook: string): InvalidOptionError {
  return new InvalidOptionError(hook, `must not be verifySession, which guards in ${GUARD_HOOKS.join(', ')} only`)
}

/** @throws {InvalidOptionError} the route has the guard in a hook after the handler */
export function checkHooksOfRoute(route: RouteOptions): void {
  const lateHook = LATE_HOOKS.find((hook) => countGuards(route, hook) > 0)
  if (lateHook !== undefined) throw lateHookError(lateHook)
}

/** Whether the options of a route have the guard. */
export function hasGuard(route: RouteOptions): boolean {
  return GUARD_HOOKS.some((hook) => countGuards(route, hook) > 0)
}

/**
 * Checks all registered routes of the application, with the hooks of each scope. An `onRoute` hook does not see the
 * hooks of a scope, or routes from before the plugin.
 *
 * @throws {InvalidOptionError} a scope or a route has the guard in a hook after the handler
 */
export function checkHooksOfScopes(app: FastifyInstance): void {
  const lines = app.printRoutes({ includeHooks: true }).split('\n')
  const lateHook = LATE_HOOKS.find((hook) =>
    lines.some((line) => line.includes(`• (${hook}) `) && line.includes(GUARD_NAME))
  )
  if (lateHook !== undefined) throw lateHookError(lateHook)
}

/**
 * Whether the request's route has the guard in addition to the hooks of the scope. Both are internal properties of
 * Fastify. If a property is missing, the result is true: no guard is skipped by mistake.
 */
export function hasRouteGuard(request: AnyRequest): boolean {
  const scopeHooks = internalHooks(request.server, 'fastify.hooks')
  const allHooks = internalHooks(request, 'fastify.context')
  if (scopeHooks === undefined || allHooks === undefined) return true
  return GUARD_HOOKS.some((hook) => countGuards(allHooks, hook) > countGuards(scopeHooks, hook))
}

function internalHooks(owner: object, description: string): Hooks | undefined {
  const key = Object.getOwnPropertySymbols(owner).find((symbol) => symbol.description === description)
  return key && (owner as Record<symbol, Hooks>)[key]
}

function countGuards(hooks: Hooks, name: HookName): number {
  return [hooks[name]].flat().filter(isGuard).length
}

function isGuard(hook: unknown): boolean {
  return typeof hook === 'function' && hook.name.endsWith(GUARD_NAME)
}
