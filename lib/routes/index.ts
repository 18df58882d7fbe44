import type { FastifyError, FastifyInstance } from 'fastify'
import { InvalidBodyError, isJwtSessionError } from '../errors.js'
import { mountCurrentSession } from './current-session.js'
import { acceptOnlyJson } from './json-body.js'
import { mountLogin } from './login.js'
import { mountLogout } from './logout.js'
import { ignoreBodies } from './no-body.js'
import { mountRegister } from './register.js'
import type { RouteDeps } from './route-deps.js'
import { mountUserSessions } from './user-sessions.js'

/**
 * The plugin's routes, for a scope of their own. How a body is read and an answer written here does not depend on the
 * parsers, compilers and error handlers of the host application: credentials pass through.
 */
export function createRoutes(parts: RouteDeps) {
  return async function routes(scope: FastifyInstance): Promise<void> {
    acceptOnlyJson(scope)
    scope.setReplySerializer((payload) => JSON.stringify(payload))
    scope.setSerializerCompiler(() => serializeHostError)
    let isClosing = false
    scope.addHook('preClose', async () => {
      isClosing = true
    })
    scope.addHook('onSend', async ({ raw }, reply) => {
      reply.header('cache-control', 'no-store')
      // Node keeps a connection that was waiting for its answer when the server closed, and the close waits for that: for
      // 72 s, unless the client says something. Under HTTP/2 there is no such header.
      if (isClosing && raw.httpVersionMajor === 1) reply.header('connection', 'close')
    })
    const hostErrorHandler = scope.errorHandler
    scope.setErrorHandler((error: unknown, request, reply) => {
      if (isJwtSessionError(error)) return parts.errorReplies.send(request, reply, error)
      if (isFastifyRefusal(error))
        return parts.errorReplies.send(request, reply, new InvalidBodyError(error.code, error.statusCode))
      // What a hook of the host has thrown is the host's to answer. Fastify passes on what is thrown here, if an Error.
      if (error instanceof Error) throw error
      return hostErrorHandler(error as FastifyError, request, reply)
    })

    const { login, register, logout, session, sessions } = parts.options.routes
    if (login) mountLogin(scope, login, parts)
    if (register) mountRegister(scope, register, parts)
    await scope.register(async (bodiless) => {
      ignoreBodies(bodiless)
      if (logout) mountLogout(bodiless, logout, parts)
      if (session) mountCurrentSession(bodiless, session, parts)
      if (sessions) mountUserSessions(bodiless, sessions, parts)
    })
  }
}

/** Whether Fastify itself has refused the request. */
function isFastifyRefusal(error: unknown): error is FastifyError & { statusCode: number } {
  const { code, statusCode } = error as Partial<FastifyError>
  return typeof code === 'string' && code.startsWith('FST_ERR_') && statusCode !== undefined && statusCode < 500
}

/** Only an error of the host comes here: Fastify gives it to the response schema, which describes ours. */
function serializeHostError({ statusCode, code, error, message }: Record<string, unknown>): string {
  return JSON.stringify({ statusCode, code, error, message })
}
