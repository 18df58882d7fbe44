import { InvalidOptionError } from '../errors.js'
import { LONGEST_DELAY_MS } from '../internal/deadline.js'
import { isPlainObject } from '../internal/json.js'

// Each check returns the checked value with its type, or throws an InvalidOptionError that never repeats the value.

/**
 * Any value other than undefined.
 *
 * @throws {InvalidOptionError} the option is missing
 */
export function checkRequired<T>(option: string, value: T | undefined): T {
  if (value === undefined) throw new InvalidOptionError(option, 'is required')
  return value
}

/**
 * A plain object without unknown keys.
 *
 * @param parent the path of the option; empty for the options of the plugin
 * @throws {InvalidOptionError}
 */
export function checkFields<T extends object>(parent: string, value: T, known: readonly string[]): T {
  checkRequired(parent || 'options', value)
  if (!isPlainObject(value)) throw new InvalidOptionError(parent || 'options', 'must be a plain object')
  const unknown = Object.keys(value).find((key) => !known.includes(key))
  if (unknown !== undefined) throw new InvalidOptionError(parent ? `${parent}.${unknown}` : unknown, 'is not known')
  return value
}

/** An empty object for undefined. Null is a mistake, which {@link checkFields} reports. */
export function orDefaultEmpty<T extends object>(value: T | undefined): T {
  return value === undefined ? ({} as T) : value
}

/**
 * An integer within the range, by default 1 to 2 147 483 647; or the default of the option.
 *
 * @throws {InvalidOptionError}
 */
export function checkInteger<T>(
  option: string,
  value: unknown,
  defaultValue: T,
  { min = 1, max = LONGEST_DELAY_MS }: { min?: number; max?: number } = {}
): number | T {
  if (value === undefined) return defaultValue
  if (typeof value !== 'number' || !Number.isInteger(value) || value < min || value > max) {
    throw new InvalidOptionError(option, `must be an integer from ${min} to ${max}`)
  }
  return value
}

/**
 * True or false, or the default of the option.
 *
 * @throws {InvalidOptionError}
 */
export function checkBoolean(option: string, value: unknown, defaultValue: boolean): boolean {
  if (value === undefined) return defaultValue
  if (typeof value !== 'boolean') throw new InvalidOptionError(option, 'must be true or false')
  return value
}

/**
 * A string that is not empty, or undefined.
 *
 * @throws {InvalidOptionError}
 */
export function checkOptionalText(option: string, value: unknown): string | undefined {
  if (value === undefined || (typeof value === 'string' && value !== '')) return value
  throw new InvalidOptionError(option, 'must be a string that is not empty')
}

/**
 * A function, or undefined.
 *
 * @throws {InvalidOptionError}
 */
export function checkOptionalFunction<T>(option: string, value: T | undefined): T | undefined {
  if (value === undefined || typeof value === 'function') return value
  throw new InvalidOptionError(option, 'must be a function')
}

/**
 * A path that every router reads alike: no empty, `.` or `..` segment, no escape, parameter or query.
 *
 * @throws {InvalidOptionError}
 */
export function checkPath(option: string, value: unknown, defaultValue?: string): string {
  const path = value === undefined ? defaultValue : value
  if (typeof path === 'string' && PATH.test(path)) return path
  throw new InvalidOptionError(option, 'must be a path like `/user/login`, of letters, digits, `-`, `.`, `_` and `~`')
}

const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-]+)+\/?$/

/** Whether the value has methods with these names, which distinguish an injected client from options. */
export function hasMethods<T>(value: unknown, ...names: (keyof T & string)[]): value is T {
  if (typeof value !== 'object' || value === null) return false
  return names.every((name) => typeof (value as Record<string, unknown>)[name] === 'function')
}
