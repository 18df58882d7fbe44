import type { FastifyInstance, RouteOptions } from 'fastify'
import { InvalidOptionError } from '../errors.js'
import type { AnyRequest } from '../http/error-reply.js'

/**
 * The name of every guard function, of another copy of this package too. It is what Fastify leaves of a hook: it binds each
 * hook to its scope, and `printRoutes()` lists hooks by name. No function of an application has such a name by accident.
 */
const GUARD_NAME = 'verifySession of fastify-jwt-session'

/** Names a function, so that it is recognized as a guard wherever it hooks in. */
export function nameGuard<T extends object>(guard: T): T {
  return Object.defineProperty(guard, 'name', { value: GUARD_NAME })
}

/** Hooks behind which the handler has not run yet. */
const GUARD_HOOKS = ['onRequest', 'preParsing', 'preValidation', 'preHandler'] as const

const LATE_HOOKS = ['preSerialization', 'onSend', 'onResponse', 'onError', 'onTimeout', 'onRequestAbort'] as const

type HookName = (typeof GUARD_HOOKS | typeof LATE_HOOKS)[number]

/** Hooks as Fastify stores them: a route has one, several or none. */
type Hooks = Partial<Record<HookName, unknown>>

/** The error of a guard in a hook such as `onSend`, behind which the handler has run already. */
function lateHookError(hook: string): InvalidOptionError {
  return new InvalidOptionError(hook, `must not be verifySession, which guards in ${GUARD_HOOKS.join(', ')} only`)
}

/** @throws {InvalidOptionError} for a route that names the guard in a hook that is too late */
export function checkHooksOfRoute(route: RouteOptions): void {
  const late = LATE_HOOKS.find((hook) => countGuards(route, hook) > 0)
  if (late !== undefined) throw lateHookError(late)
}

/** Whether the options of a route name the guard. */
export function hasGuard(route: RouteOptions): boolean {
  return GUARD_HOOKS.some((hook) => countGuards(route, hook) > 0)
}

/**
 * The same of all routes of the application, with the hooks of their scopes, once all are registered. No `onRoute` hook
 * sees the hooks of a scope, or a route that was there before.
 *
 * @throws {InvalidOptionError} for a scope or a route that has the guard in a hook that is too late
 */
export function checkHooksOfScopes(app: FastifyInstance): void {
  const lines = app.printRoutes({ includeHooks: true }).split('\n')
  const late = LATE_HOOKS.find((hook) =>
    lines.some((line) => line.includes(`• (${hook}) `) && line.includes(GUARD_NAME))
  )
  if (late !== undefined) throw lateHookError(late)
}

/**
 * Whether the route of the request itself has the guard, beside the hooks of its scope. Fastify keeps both in properties of
 * its own; were they not there, the answer would be yes, so that no guard is left out by mistake.
 */
export function hasGuardOfItsOwn(request: AnyRequest): boolean {
  const ofScope = internalHooks(request.server, 'fastify.hooks')
  const ofAll = internalHooks(request, 'fastify.context')
  if (ofScope === undefined || ofAll === undefined) return true
  return GUARD_HOOKS.some((hook) => countGuards(ofAll, hook) > countGuards(ofScope, hook))
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
