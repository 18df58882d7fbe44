import { InvalidQueryError } from '../errors.js'
import type { AnyRequest } from '../http/error-reply.js'
import type { ResolvedRouteSettings } from './route-settings.js'

const FIELDS = ['fresh_seconds', 'slide', 'optional']

/** The longest maximum of `freshSeconds`, as in the settings of a route. */
const MAX_SECONDS = 2 ** 31 - 1

/**
 * The settings of the guard in the query of a proxy's request. An unknown field is refused: a setting that has no effect
 * would be relied on.
 *
 * @throws {InvalidQueryError} an unknown, repeated or invalid field
 */
export function settingsOfQuery({ query }: Pick<AnyRequest, 'query'>): ResolvedRouteSettings {
  const fields: Record<string, unknown> = Object.assign(Object.create(null), query)
  if (Object.keys(fields).some((name) => !FIELDS.includes(name))) {
    throw new InvalidQueryError('may have `fresh_seconds`, `slide` and `optional`, and no other field')
  }
  return {
    isPublic: false,
    optional: readBoolean('optional', fields.optional, false),
    freshSeconds: readSeconds('fresh_seconds', fields.fresh_seconds),
    slide: readBoolean('slide', fields.slide, true)
  }
}

function readBoolean(name: string, value: unknown, defaultValue: boolean): boolean {
  if (value === undefined) return defaultValue
  // A field that was sent twice is an array.
  if (value === 'true' || value === 'false') return value === 'true'
  throw new InvalidQueryError(`must have \`${name}\` once, as true or false`)
}

function readSeconds(name: string, value: unknown): number {
  if (value === undefined) return Number.POSITIVE_INFINITY
  const seconds = typeof value === 'string' && /^[1-9]\d{0,9}$/.test(value) ? Number(value) : 0
  if (seconds >= 1 && seconds <= MAX_SECONDS) return seconds
  throw new InvalidQueryError(`must have \`${name}\` once, as an integer from 1 to ${MAX_SECONDS}`)
}
