import type { TObject } from 'typebox'
import { Compile } from 'typebox/compile'
import { cloneJson, isPlainObject } from '../internal/json.js'
import { createFieldFilter } from './field-filter.js'
import type { User } from './session.js'

/** Makes users that fit `userSchema` of what an upstream returns, and checks users that were stored. */
export interface UserParser {
  /** A copy with the fields of the schema and nothing else, or null when it is not a valid user. */
  parse(value: unknown): User | null
  /**
   * Of a user that need not be whole, such as what is known after a registration: the fields of the schema that fit, each
   * by itself. A `default` is added to a whole user only.
   */
  parseFields(value: unknown): Partial<User>
  /**
   * A sentence for the log about a value that `parse` refuses: which path of the schema it does not match, in words of the
   * schema alone. No value, and no name that the value brought along.
   */
  explain(value: unknown): string
  /** Whether a stored user still fits the schema. */
  accepts(value: unknown): value is User
}

/** @param userSchema one that `resolveUserSchema()` lets pass */
export function createUserParser(userSchema: TObject): UserParser {
  const validator = Compile(userSchema)
  const filter = createFieldFilter(userSchema)

  function accepts(value: unknown): value is User {
    return isPlainObject(value) && isUserId(value.id) && validator.Check(value)
  }

  function parse(value: unknown): User | null {
    const user = filter(copyUser(value))
    return accepts(user) ? user : null
  }

  const fields = Object.entries(userSchema.properties).map(([name, schema]) => ({
    name,
    filter: createFieldFilter(schema),
    validator: Compile(schema)
  }))

  function parseFields(value: unknown): Partial<User> {
    const given = copyUser(value)
    if (given === null) return {}
    const fitting = fields
      .filter(({ name }) => Object.hasOwn(given, name))
      .flatMap(({ name, filter, validator }) => {
        const field = attempt(() => filter(given[name]), undefined)
        const isFit = attempt(() => validator.Check(field), false) && (name !== 'id' || isUserId(field))
        return isFit ? [[name, field]] : []
      })
    return Object.fromEntries(fitting)
  }

  function explain(value: unknown): string {
    const user = copyUser(value)
    if (user === null) return value == null ? 'there is no user' : 'the user is not a JSON object'
    if (Number.isInteger(user.id)) return `${MISMATCH} at /id: an integer beyond 2^53 is not exact`
    const [first] = validator.Errors(filter(user))
    if (first === undefined) return `${MISMATCH} at /id: it must be 1 to 256 characters of well-formed Unicode`
    return `${MISMATCH} at ${placeOf(first)}`
  }

  const tryParse = (value: unknown) => attempt(() => parse(value), null)
  return {
    accepts: (value): value is User => attempt(() => accepts(value), false),
    parse: tryParse,
    parseFields: (value) => tryParse(value) ?? parseFields(value),
    explain: (value) => attempt(() => explain(value), MISMATCH)
  }
}

const MISMATCH = 'the user does not match `userSchema`'

/** A check or a `default` of the application may throw, and a value may be nested too deep for any: it does not match. */
function attempt<T>(action: () => T, otherwise: T): T {
  try {
    return action()
  } catch {
    return otherwise
  }
}

/** What JSON can hold of it, if that is an object. */
function copyUser(value: unknown): Record<string, unknown> | null {
  const copy = cloneJson(value)
  if (!isPlainObject(copy)) return null
  // 9007199254740993 arrives as …992: an id that JSON.parse rounded could be that of another user.
  if (Number.isSafeInteger(copy.id)) copy.id = String(copy.id)
  return copy
}

/** What TypeBox tells of a mismatch. */
interface Mismatch {
  keyword: string
  /** A JSON pointer into the schema. The pointer into the value is not read: it may have names that the value brought. */
  schemaPath: string
  params: object
}

/** Such as `/address/city (required)`: fields and keywords of the schema. Members of an intersection and variants of a
 * union are not named. */
function placeOf({ keyword, schemaPath, params }: Mismatch): string {
  const missing = 'requiredProperties' in params ? `/${(params.requiredProperties as string[])[0]}` : ''
  const tokens = schemaPath.split('/').slice(1)
  const path: string[] = []
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token === 'anyOf') return `/${path.join('/')} (anyOf)`
    if (token === 'allOf') tokens.shift()
    else path.push(token === 'properties' ? `${tokens.shift()}` : token)
  }
  return `${path.map((name) => `/${name}`).join('')}${missing || (path.length === 0 ? '/' : '')} (${keyword})`
}

/** Whether this can be a user id: 1 to 256 characters of well-formed Unicode, any of them. */
export function isUserId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 256 && value.isWellFormed()
}
