import type { FastifyInstance } from 'fastify'

/**
 * No body is read in this scope: nothing about one (type, encoding, syntax, size, length) stops a logout or a revocation,
 * and the answer does not wait for one.
 */
export function ignoreBodies(scope: FastifyInstance): void {
  scope.addHook('onRequest', async (request) => {
    for (const name of DESCRIPTIONS) {
      if (request.headers[name] === undefined) continue
      // Both: Fastify merges what a hook of the host has set, before this one or after, with what came over the wire.
      delete request.raw.headers[name]
      request.headers = { ...request.headers, [name]: undefined }
    }
  })
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, payload, done) => {
    // What a hook of the host has made of the body may fail, also after the answer.
    payload.on('error', () => {}).resume()
    done(null, undefined)
  })
}

/** Fastify refuses a malformed type before it looks for a parser, and @fastify/compress an unknown encoding. */
const DESCRIPTIONS = ['content-type', 'content-encoding']
