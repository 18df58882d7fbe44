import type { FastifyReply, FastifyRequest } from 'fastify'
import { ClientGoneError, JwtSessionError, UpstreamInvalidError } from '../errors.js'
import type { UpstreamContext } from '../upstream/upstream-client.js'

/** What the upstream is told about the request. Its signal is aborted when the connection closes before the answer. */
export function createUpstreamContext(request: FastifyRequest, reply: FastifyReply): UpstreamContext {
  const controller = new AbortController()
  // Gone already, while a hook of the host had the request.
  if (reply.raw.destroyed) controller.abort()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort()
  })
  return { signal: controller.signal, headers: request.headers, ip: request.ip }
}

/**
 * Calls the upstream, whoever wrote it.
 *
 * @throws {ClientGoneError} nobody waits for the result
 * @throws {UpstreamInvalidError} for anything thrown that is not an error of this package
 */
export async function callUpstream(context: UpstreamContext, call: () => Promise<unknown>): Promise<unknown> {
  if (context.signal.aborted) throw new ClientGoneError()
  try {
    const result = await call()
    if (!context.signal.aborted) return result
  } catch (error) {
    if (!context.signal.aborted) throw error instanceof JwtSessionError ? error : new UpstreamInvalidError(error)
  }
  throw new ClientGoneError()
}
