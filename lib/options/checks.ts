import { InvalidOptionError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'

// Each returns what it checked, with its type, and throws an InvalidOptionError that never repeats the value.

/** What Node's timers can wait, in milliseconds. */
const MAX_COUNT = 2 ** 31 - 1

/** Anything but undefined. */
export function checkRequired<T>(option: string, value: T | undefined): T {
  if (value === undefined) throw new InvalidOptionError(option, 'is required')
  return value
}

/** An object literal without unknown keys. `parent` is empty for the options themselves. */
export function checkFields<T extends object>(parent: string, value: T, known: readonly string[]): T {
  checkRequired(parent || 'options', value)
  if (!isPlainObject(value)) throw new InvalidOptionError(parent || 'options', 'must be a plain object')
  const unknown = Object.keys(value).find((key) => !known.includes(key))
  if (unknown !== undefined) throw new InvalidOptionError(parent ? `${parent}.${unknown}` : unknown, 'is not known')
  return value
}

/** Only undefined means "the default": null is a mistake that is reported. */
export function orDefaultEmpty<T extends object>(value: T | undefined): T {
  return value === undefined ? ({} as T) : value
}

/** An integer within the range, or the default. */
export function checkInteger<T>(
  option: string,
  value: unknown,
  byDefault: T,
  { min = 1, max = MAX_COUNT }: { min?: number; max?: number } = {}
): number | T {
  if (value === undefined) return byDefault
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new InvalidOptionError(option, `must be an integer from ${min} to ${max}`)
  }
  return value
}

/** True or false, or the default. */
export function checkBoolean(option: string, value: unknown, byDefault: boolean): boolean {
  if (value === undefined) return byDefault
  if (typeof value !== 'boolean') throw new InvalidOptionError(option, 'must be true or false')
  return value
}

/** A string with at least one character, if there is one. */
export function checkOptionalText(option: string, value: unknown): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '')) return value
  throw new InvalidOptionError(option, 'must be a string that is not empty')
}

/** A function, if there is one. */
export function checkOptionalFunction<T>(option: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value
  throw new InvalidOptionError(option, 'must be a function')
}

/** A path that means the same to every router: no empty, `.` or `..` segment, no escape, parameter or query. */
export function checkPath(option: string, value: unknown, byDefault?: string): string {
  const path = value === undefined ? byDefault : value
  if (typeof path === 'string' && PATH.test(path)) return path
  throw new InvalidOptionError(option, 'must be a path like `/user/login`, of letters, digits, `-`, `.`, `_` and `~`')
}

const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+\/?$/

/** Whether the value has methods of these names: how an injected client is distinguished from options. */
export function hasMethods<T>(value: unknown, ...names: (keyof T & string)[]): value is T {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}
