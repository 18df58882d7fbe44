import type { FastifyError, FastifyInstance } from 'fastify'
import { InvalidBodyError, JwtSessionError } from '../errors.js'
import { acceptOnlyJson } from './json-body.js'
import { mountLogin } from './login.js'
import { mountLogout } from './logout.js'
import { mountRegister } from './register.js'
import type { RouteParts } from './route-parts.js'

/**
 * The plugin's routes, for a scope of their own. How a body is read and an answer written here does not depend on the
 * parsers, compilers and error handlers of the host application: credentials pass through.
 */
export function createRoutes(parts: RouteParts) {
  return async function routes(scope: FastifyInstance): Promise<void> {
    acceptOnlyJson(scope)
    scope.setSerializerCompiler(() => JSON.stringify)
    scope.addHook('onRequest', async (_request, reply) => {
      reply.header('cache-control', 'no-store')
    })
    scope.setErrorHandler<FastifyError>((error, request, reply) => {
      if (error instanceof JwtSessionError) return parts.answers.sendError(request, reply, error)
      if (isClientError(error)) return parts.answers.sendError(request, reply, new InvalidBodyError(error))
      // What a hook of the host has thrown is for the host's error handler.
      throw error
    })

    const { login, register, logout } = parts.options.routes
    if (login) mountLogin(scope, login, parts)
    if (register) mountRegister(scope, register, parts)
    if (logout) mountLogout(scope, logout, parts)
  }
}

/** Whether Fastify itself has refused the request. */
function isClientError(error: FastifyError): error is FastifyError & { statusCode: number } {
  return error.code?.startsWith('FST_ERR_') && error.statusCode !== undefined && error.statusCode < 500
}
