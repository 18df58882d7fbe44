import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { attemptOf } from '../diagnostics/attempt.js'
import { InvalidBodyError, isJwtSessionError, type JwtSessionError } from '../errors.js'
import { mountCurrentSession } from './current-session.js'
import { mountEvents } from './events.js'
import { acceptOnlyJson } from './json-body.js'
import { mountLogin } from './login.js'
import { mountLogout } from './logout.js'
import { ignoreBodies } from './no-body.js'
import { mountRegister } from './register.js'
import type { RouteDeps } from './route-deps.js'
import { mountUserSessions } from './user-sessions.js'
import { mountVerify } from './verify.js'

/**
 * Creates the scope with the plugin's routes. Parsers, compilers and error handlers of the host do not apply to these
 * routes, because the routes handle credentials.
 */
export function createRoutes(deps: RouteDeps) {
  return async function routes(scope: FastifyInstance): Promise<void> {
    const { options, errorReplies, streams } = deps
    acceptOnlyJson(scope)
    scope.setReplySerializer((payload) => JSON.stringify(payload))
    scope.setSerializerCompiler(() => serializeHostError)
    let isClosing = false
    scope.addHook('preClose', async () => {
      isClosing = true
    })
    scope.addHook('onSend', ({ raw }, reply, _payload, done) => {
      reply.header('cache-control', 'no-store')
      // Otherwise an open request at the time of close() leaves a keep-alive connection, and close() waits 72 s for the
      // client. HTTP/2 has no `connection` header.
      if (isClosing && raw.httpVersionMajor === 1) reply.header('connection', 'close')
      done()
    })
    const refuse = (request: FastifyRequest, reply: FastifyReply, error: JwtSessionError) => {
      attemptOf(request)?.fail(error)
      return errorReplies.send(request, reply, error)
    }
    const hostErrorHandler = scope.errorHandler
    scope.setErrorHandler((error: unknown, request, reply) => {
      if (isJwtSessionError(error)) return refuse(request, reply, error)
      if (isFastifyRejection(error)) return refuse(request, reply, new InvalidBodyError(error.code, error.statusCode))
      // The host replies to an exception of a host hook. Fastify passes a rethrown Error on, but no other value.
      if (error instanceof Error) throw error
      return hostErrorHandler(error as FastifyError, request, reply)
    })

    const { login, register, logout, session, sessions, events, verify } = options.routes
    if (login) mountLogin(scope, login, deps)
    if (register) mountRegister(scope, register, deps)
    await scope.register(async (withoutBodies) => {
      ignoreBodies(withoutBodies)
      if (logout) mountLogout(withoutBodies, logout, deps)
      if (session) mountCurrentSession(withoutBodies, session, deps)
      if (sessions) mountUserSessions(withoutBodies, sessions, deps)
      if (events && streams) mountEvents(withoutBodies, events, { ...deps, streams })
      if (verify) mountVerify(withoutBodies, verify, deps)
    })
  }
}

/** Whether Fastify itself rejected the request. */
function isFastifyRejection(error: unknown): error is FastifyError & { statusCode: number } {
  const { code, statusCode } = error as Partial<FastifyError>
  return typeof code === 'string' && code.startsWith('FST_ERR_') && statusCode !== undefined && statusCode < 500
}

/**
 * Serializes error replies of the host. Fastify would apply the route's response schema, made for errors of the plugin.
 */
function serializeHostError({ statusCode, code, error, message }: Record<string, unknown>): string {
  return JSON.stringify({ statusCode, code, error, message })
}
