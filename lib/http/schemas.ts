import { type TSchema, Type } from 'typebox'

/** The user when no `userSchema` is given. */
export const defaultUserSchema = Type.Object({ id: Type.String() })

const username = Type.String({ minLength: 1, maxLength: 256 })
const password = Type.String({ minLength: 1, maxLength: 1_024 })

/** The body of a login when no `routes.login.schema` is given. */
export const defaultLoginSchema = Type.Object({ username, password }, { additionalProperties: false })

/** The body of a registration when no `routes.register.schema` is given. */
export const defaultRegisterSchema = Type.Object(
  { username, password, email: Type.Optional(Type.String({ minLength: 1, maxLength: 254 })) },
  { additionalProperties: false }
)

const errorSchema = Type.Object({
  statusCode: Type.Integer(),
  code: Type.String({ description: 'Stable; the message is for people and may change' }),
  error: Type.String(),
  message: Type.String(),
  details: Type.Optional(Type.Unknown({ description: 'Of a rejected registration: what the application says of it' }))
})

const ERRORS = {
  400: 'The body is malformed or does not match the schema',
  401: 'The credentials were not accepted',
  404: 'The user has no such session',
  409: 'The registration was not accepted: taken; or the user has too many sessions',
  413: 'The body is larger than 16 KB',
  415: 'The body is not JSON',
  422: 'The registration was not accepted',
  429: 'The upstream asks to slow down',
  502: 'The upstream gave no valid answer',
  503: 'The session store or the upstream is unavailable',
  504: 'The upstream did not answer in time'
} as const

/** Response schemas for the errors a route may answer, for documentation such as @fastify/swagger makes. */
export function errorResponses(...statusCodes: (keyof typeof ERRORS)[]) {
  return Object.fromEntries(
    statusCodes.map((statusCode) => [statusCode, { ...errorSchema, description: ERRORS[statusCode] }])
  )
}

/** Schema of a point in time, in ISO 8601. */
export function timeSchema(description: string) {
  return Type.String({ format: 'date-time', description })
}

/** Such a point in time. */
export function toIsoTime(epochMs: number): string {
  return new Date(epochMs).toISOString()
}

/** Schema of what may be null. */
export function nullable<Schema extends TSchema>(schema: Schema) {
  return Type.Union([schema, Type.Null()])
}
