import { type TSchema, Type } from 'typebox'

/** The default of `userSchema`. */
export const defaultUserSchema = Type.Object({ id: Type.String() })

const username = Type.String({ minLength: 1, maxLength: 256 })
const password = Type.String({ minLength: 1, maxLength: 1_024 })

/** The default of `routes.login.schema`. */
export const defaultLoginSchema = Type.Object({ username, password }, { additionalProperties: false })

/** The default of `routes.register.schema`. */
export const defaultRegisterSchema = Type.Object(
  { username, password, email: Type.Optional(Type.String({ minLength: 1, maxLength: 254 })) },
  { additionalProperties: false }
)

const errorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String({ description: 'Stable; `message` is for people and may change' }),
  error: Type.String(),
  message: Type.String(),
  reason: Type.Optional(Type.String({ description: 'Why the session has ended' })),
  details: Type.Optional(Type.Unknown({ description: "The application's details of a rejected registration" }))
})

const ERRORS = {
  400: 'The body or the query is malformed or does not match the schema',
  401: 'There is no live session, or the credentials were rejected',
  403: 'The request came from a page of another origin',
  404: 'The user has no session with this id',
  409: 'The registration was rejected: the name is taken; or the user has too many sessions',
  413: 'The body is larger than 16 KB',
  415: 'The body is not JSON',
  422: 'The registration was rejected',
  429: 'The upstream limits the rate of requests, or too many event streams are open',
  502: 'The upstream gave no valid response',
  503: 'The session store or the upstream is unavailable',
  504: 'The upstream did not respond in time'
} as const

/** Response schemas of error replies by status, for API documentation such as @fastify/swagger. */
export function errorResponses(...statusCodes: (keyof typeof ERRORS)[]) {
  return Object.fromEntries(
    statusCodes.map((statusCode) => [statusCode, { ...errorSchema, description: ERRORS[statusCode] }])
  )
}

/** The schema of a time in ISO 8601. */
export function timeSchema(description: string) {
  return Type.String({ format: 'date-time', description })
}

/** A time in ISO 8601. */
export function toIsoTime(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

/** The schema of a value that may be null. */
export function nullable<Schema extends TSchema>(schema: Schema) {
  return Type.Union([schema, Type.Null()])
}
