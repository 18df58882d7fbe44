import type { ServerResponse } from 'node:http'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ClientGoneError } from '../errors.js'
import { toUpstreamError } from '../upstream/to-upstream-error.js'
import type { UpstreamContext } from '../upstream/upstream-client.js'

/** What the upstream gets of the request. Its signal is aborted when the connection closes before the answer. */
export function createUpstreamContext(request: FastifyRequest, reply: FastifyReply): UpstreamContext {
  const controller = new AbortController()
  // Gone already, while a hook of the host had the request. Under HTTP/2 only the stream knows.
  const { destroyed, stream } = reply.raw as ServerResponse & { stream?: { destroyed: boolean } }
  if (destroyed || stream?.destroyed) controller.abort()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort()
  })
  return { signal: controller.signal, headers: request.headers, ip: request.ip }
}

/**
 * Calls the upstream, of this package or of the application.
 *
 * @throws {ClientGoneError} no client waits for the result
 * @throws {UpstreamInvalidError} for anything thrown that is no `UpstreamError`
 */
export async function callUpstream(context: UpstreamContext, call: () => Promise<unknown>): Promise<unknown> {
  if (context.signal.aborted) throw new ClientGoneError()
  try {
    const result = await call()
    if (!context.signal.aborted) return result
  } catch (error) {
    if (!context.signal.aborted) throw toUpstreamError(error)
  }
  throw new ClientGoneError()
}
