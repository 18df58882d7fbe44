import { isUtf8 } from 'node:buffer'
import type { FastifyInstance } from 'fastify'
import type { TObject, TProperties } from 'typebox'
import { Compile } from 'typebox/compile'
import type { TLocalizedValidationError } from 'typebox/error'
import { InvalidBodyError } from '../errors.js'

const BODY_LIMIT = 16_384
const BODY_TIMEOUT_MS = 5_000

/**
 * Restricts the scope to JSON bodies: strict UTF-8, no prototype poisoning, at most 16 KB within 5 s. Validation
 * neither coerces nor strips values: the upstream receives exactly the validated body (OWASP ASVS 6.2.8).
 */
export function acceptOnlyJson(scope: FastifyInstance): void {
  const parseJson = scope.getDefaultJsonParser('error', 'error')
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser(
    'application/json',
    { parseAs: 'buffer', bodyLimit: BODY_LIMIT },
    (request, body: Buffer, done) => {
      // Decoding would replace malformed bytes of a password by U+FFFD.
      if (!isUtf8(body)) return done(invalidBody('FST_ERR_CTP_INVALID_JSON_BODY', 'Body is not valid UTF-8'))
      // The validator rejects an empty body.
      if (body.length === 0) return done(null, undefined)
      parseJson(request, body.toString(), (error, value) => {
        // The parser's message may quote the body in older versions of Fastify.
        if (error) return done(invalidBody('FST_ERR_CTP_INVALID_JSON_BODY', 'Body is not valid JSON'))
        done(null, value)
      })
    }
  )

  scope.setValidatorCompiler<TObject>(({ schema }) => {
    const validator = Compile(schema)
    return (value: unknown) =>
      validator.Check(value) ? { value } : { error: toBodyError(validator.Errors(value), schema.properties) }
  })

  // With `attachValidation` of the host, Fastify does not throw validation errors.
  scope.addHook('preHandler', ({ validationError }, _reply, done) => done(validationError))

  scope.addHook('onRequest', ({ raw }, reply, done) => {
    // Fastify's `requestTimeout` is off by default and belongs to the host.
    const timer = setTimeout(() => {
      const { complete, stream }: Incoming = raw
      if (complete || stream?.endAfterHeaders) return
      raw.destroy()
      // Under HTTP/2 only the response can destroy the stream.
      reply.raw.destroy()
    }, BODY_TIMEOUT_MS).unref()
    raw.once('close', () => clearTimeout(timer))
    done()
  })
}

/** A request of HTTP/1 or HTTP/2. Under HTTP/2 without a body, `complete` stays false. */
interface Incoming {
  complete: boolean
  stream?: { endAfterHeaders: boolean }
}

/** Reports the first invalid field, with field names of the schema only: never with names from the client. */
function toBodyError(errors: TLocalizedValidationError[], properties: TProperties): InvalidBodyError {
  // For an undeclared property the first error is "schema is false", for many undeclared properties the only error.
  const { instancePath, message } = errors.find(({ keyword }) => keyword !== 'boolean') ?? TOO_MANY_FIELDS
  const [, field = ''] = instancePath.split('/')
  return invalidBody('FST_ERR_VALIDATION', `body${Object.hasOwn(properties, field) ? `/${field}` : ''} ${message}`)
}

const TOO_MANY_FIELDS = { instancePath: '', message: 'must not have additional properties' }

function invalidBody(code: string, message: string): InvalidBodyError {
  return new InvalidBodyError(code, 400, message)
}
