import type { TObject } from 'typebox'
import { Compile, type Validator } from 'typebox/compile'
import type { TValidationError } from 'typebox/error'
import { cloneJson, isPlainObject } from '../internal/json.js'
import { createFieldFilter, type FieldFilter } from './field-filter.js'
import type { User } from './session.js'

/** Parses the users of an upstream by `userSchema`, and validates stored users. */
export interface UserParser {
  /** Copies the fields of the schema; null for an invalid user. */
  parse(value: unknown): User | null
  /**
   * Copies the matching fields of a possibly incomplete user, such as the user of a registration. Only a complete user
   * gets the `default` of missing fields.
   */
  parseFields(value: unknown): Partial<User>
  /**
   * Describes for the log why `parse` rejects a value: the mismatching path in the schema. The description has neither
   * values nor unknown field names.
   */
  explain(value: unknown): string
  /** Whether a stored user still matches the schema. */
  accepts(value: unknown): value is User
}

/** @param userSchema accepted by `resolveUserSchema()` */
export function createUserParser(userSchema: TObject): UserParser {
  return new SchemaUserParser(userSchema)
}

class SchemaUserParser implements UserParser {
  readonly #validator: Validator
  readonly #filter: FieldFilter
  readonly #fields: readonly FieldParser[]

  constructor(userSchema: TObject) {
    this.#validator = Compile(userSchema)
    this.#filter = createFieldFilter(userSchema)
    this.#fields = Object.entries(userSchema.properties).map(([name, schema]) => ({
      name,
      filter: createFieldFilter(schema),
      validator: Compile(schema)
    }))
  }

  accepts(value: unknown): value is User {
    return attempt(() => this.#isUser(value), false)
  }

  parse(value: unknown): User | null {
    return attempt(() => {
      const user = this.#filter(copyUser(value))
      return this.#isUser(user) ? user : null
    }, null)
  }

  parseFields(value: unknown): Partial<User> {
    const user = this.parse(value)
    if (user !== null) return user
    const copy = copyUser(value)
    return copy === null ? {} : Object.fromEntries(this.#fields.flatMap((field) => parseField(copy, field)))
  }

  explain(value: unknown): string {
    return attempt(() => this.#explain(value), MISMATCH)
  }

  #isUser(value: unknown): value is User {
    return isPlainObject(value) && isUserId(value.id) && this.#validator.Check(value)
  }

  #explain(value: unknown): string {
    const user = copyUser(value)
    if (user === null) return value == null ? 'the user is missing' : 'the user is not a JSON object'
    if (Number.isInteger(user.id)) return `${MISMATCH} at /id: an integer beyond 2^53 is not exact`
    const [first] = this.#validator.Errors(this.#filter(user))
    if (first === undefined) return `${MISMATCH} at /id: must be 1 to 256 characters of well-formed Unicode`
    return `${MISMATCH} at ${mismatchPath(first)}`
  }
}

const MISMATCH = 'the user does not match `userSchema`'

interface FieldParser {
  name: string
  filter: FieldFilter
  validator: Validator
}

/** The entry of a matching field, else an empty list. */
function parseField(user: Record<string, unknown>, { name, filter, validator }: FieldParser): [string, unknown][] {
  if (!Object.hasOwn(user, name)) return []
  const field = attempt(() => filter(user[name]), undefined)
  const isValid = attempt(() => validator.Check(field), false) && (name !== 'id' || isUserId(field))
  return isValid ? [[name, field]] : []
}

/**
 * Treats an exception as a mismatch: an application's check or `default` may throw, and deep nesting overflows the
 * stack.
 */
function attempt<T>(action: () => T, fallback: T): T {
  try {
    return action()
  } catch {
    return fallback
  }
}

/** A JSON copy of an object, with an integer `id` as a string; null for other values. */
function copyUser(value: unknown): Record<string, unknown> | null {
  const copy = cloneJson(value)
  if (!isPlainObject(copy)) return null
  // Only safe integers: JSON.parse rounds 9007199254740993 to …992, which may be the id of another user.
  if (Number.isSafeInteger(copy.id)) copy.id = String(copy.id)
  return copy
}

/**
 * The path of a mismatch in the schema, such as `/address/city (required)`, without intersection members and union
 * variants. `instancePath` is not used: the path in the value may have names from the client.
 */
function mismatchPath(error: TValidationError): string {
  const { keyword, schemaPath } = error
  const missing = error.keyword === 'required' ? `/${error.params.requiredProperties[0]}` : ''
  const tokens = schemaPath.split('/').slice(1)
  const path: string[] = []
  for (let token = tokens.shift(); token !== undefined; token = tokens.shift()) {
    if (token === 'anyOf') return `/${path.join('/')} (anyOf)`
    if (token === 'allOf') tokens.shift()
    else path.push(token === 'properties' ? `${tokens.shift()}` : token)
  }
  return `${path.map((name) => `/${name}`).join('')}${missing || (path.length === 0 ? '/' : '')} (${keyword})`
}

/** Whether the value is a user id: 1 to 256 characters of well-formed Unicode. */
export function isUserId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 256 && value.isWellFormed()
}
