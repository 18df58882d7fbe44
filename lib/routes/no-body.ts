import type { FastifyInstance } from 'fastify'

/**
 * Ignores request bodies in the scope: neither type, encoding, syntax nor length of a body can stop a logout or a
 * revocation, and the response does not wait for the body.
 */
export function ignoreBodies(scope: FastifyInstance): void {
  scope.addHook('onRequest', (request, _reply, done) => {
    for (const name of BODY_HEADERS) {
      if (request.headers[name] === undefined) continue
      // Remove from both: Fastify merges headers set by a host hook with the received headers.
      delete request.raw.headers[name]
      request.headers = { ...request.headers, [name]: undefined }
    }
    done()
  })
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', (_request, payload, done) => {
    // A stream from a host hook may fail, also after the response.
    payload.on('error', () => {}).resume()
    done(null, undefined)
  })
}

/** Fastify rejects a malformed type before the choice of a parser, and @fastify/compress an unknown encoding. */
const BODY_HEADERS = ['content-type', 'content-encoding']
