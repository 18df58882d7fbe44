import { isUtf8 } from 'node:buffer'
import type { IncomingMessage } from 'node:http'
import { finished } from 'node:stream'
import type { FastifyInstance } from 'fastify'
import type { TObject, TProperties } from 'typebox'
import { Compile } from 'typebox/compile'
import type { TLocalizedValidationError } from 'typebox/error'
import { InvalidBodyError } from '../errors.js'

const BODY_LIMIT = 16_384
const BODY_TIMEOUT_MS = 5_000

/**
 * Bodies are JSON in this scope: strict UTF-8, no prototype poisoning, at most 16 KB within 5 s. They are checked and
 * neither coerced nor stripped, so that what was validated is what the upstream gets (OWASP ASVS 6.2.8).
 */
export function acceptOnlyJson(scope: FastifyInstance): void {
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    (request, body: Buffer, done) => {
      // Decoding would turn malformed bytes of a password into U+FFFD.
      if (!isUtf8(body)) return done(invalidBody('FST_ERR_CTP_INVALID_JSON_BODY', 'Body is not valid UTF-8'))
      // No body at all: the validator says so.
      if (body.length === 0) return done(null, undefined)
      parseJson(request, body.toString(), (error, value) => {
        // Not the parser's own words: older versions of Fastify quote the body.
        if (error) return done(invalidBody('FST_ERR_CTP_INVALID_JSON_BODY', 'Body is not valid JSON'))
        done(null, value)
      })
    }
  )

  scope.setValidatorCompiler<TObject>(({ schema }) => {
    const validator = Compile(schema)
    return (value: unknown) =>
      validator.Check(value) ? { value } : { error: describe(validator.Errors(value), schema.properties) }
  })

  // A host can have validation errors attached to the request instead of thrown.
  scope.addHook('preHandler', async ({ validationError }) => {
    if (validationError) throw validationError
  })

  scope.addHook('onRequest', async ({ raw }, reply) => {
    // Fastify's own requestTimeout is off by default, and the host's to set.
    const timer = setTimeout(() => {
      if (raw.complete || (raw as Http2Request).stream?.endAfterHeaders) return
      raw.destroy()
      // Under HTTP/2 the stream is the answer's.
      reply.raw.destroy()
    }, BODY_TIMEOUT_MS).unref()
    finished(raw, { writable: false }, () => clearTimeout(timer))
  })
}

/** Node never calls a request without a body complete under HTTP/2. */
type Http2Request = IncomingMessage & { stream?: { endAfterHeaders: boolean } }

/** Says what is wrong with the first field that is, by a name of the schema: never by one that the client has chosen. */
function describe(errors: TLocalizedValidationError[], properties: TProperties): InvalidBodyError {
  // Of a property that is not allowed the validator says "schema is false" first, and of many such nothing else.
  const { instancePath, message } = errors.find(({ keyword }) => keyword !== 'boolean') ?? TOO_MANY_FIELDS
  const [, field = ''] = instancePath.split('/')
  return invalidBody('FST_ERR_VALIDATION', `body${Object.hasOwn(properties, field) ? `/${field}` : ''} ${message}`)
}

const TOO_MANY_FIELDS = { instancePath: '', message: 'must not have additional properties' }

function invalidBody(code: string, message: string): InvalidBodyError {
  return new InvalidBodyError(code, 400, message)
}
