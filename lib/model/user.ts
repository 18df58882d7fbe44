import type { TObject } from 'typebox'
import { Compile } from 'typebox/compile'
import Value from 'typebox/value'
import { cloneJson, isPlainObject } from '../internal/json.js'
import type { User } from './session.js'

/** Makes users that fit `userSchema` of what an upstream returns, and checks users that were stored. */
export interface UserParser {
  /** A copy with the fields of the schema and nothing else, or null when it is not a valid user. */
  parse(value: unknown): User | null
  /** Whether a stored user still fits the schema. */
  accepts(value: unknown): value is User
}

/** @param userSchema an object schema with a required string `id` */
export function createUserParser(userSchema: TObject): UserParser {
  const validator = Compile(userSchema)

  function accepts(value: unknown): value is User {
    return isPlainObject(value) && isUserId(value.id) && validator.Check(value)
  }

  return {
    accepts,
    parse(value) {
      const copy = cloneJson(value)
      if (!isPlainObject(copy)) return null
      // 9007199254740993 arrives as …992: an id that JSON.parse rounded could be that of another user.
      if (Number.isSafeInteger(copy.id)) copy.id = String(copy.id)
      const user = Value.Clean(userSchema, copy)
      return accepts(user) ? user : null
    }
  }
}

/** Whether this can be a user id: 1 to 256 characters of well-formed Unicode, any of them. */
export function isUserId(value: unknown): value is string {
  return typeof value === 'string' && value.length > 0 && value.length <= 256 && value.isWellFormed()
}
