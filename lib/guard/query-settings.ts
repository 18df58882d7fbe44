import { InvalidQueryError } from '../errors.js'
import type { AnyRequest } from '../http/error-reply.js'
import { LONGEST_DELAY_MS } from '../internal/deadline.js'
import type { ResolvedRouteSettings } from './route-settings.js'

const FIELDS = ['fresh_seconds', 'slide', 'optional']

/** The longest `freshSeconds`, as in the settings of a route. */
const MAX_SECONDS = LONGEST_DELAY_MS

/** Headers in which proxies pass on the URI of the client. */
const URI_HEADERS = ['x-forwarded-uri', 'x-original-uri', 'x-original-url']

/**
 * The settings of the guard in the query of a proxy's request. An unknown field is refused: a setting that has no effect
 * would be relied on.
 *
 * @throws {InvalidQueryError} an unknown, repeated or invalid field, or a field of the client's own URI
 */
export function settingsOfQuery({ query, headers }: Pick<AnyRequest, 'query' | 'headers'>): ResolvedRouteSettings {
  const fields: Record<string, unknown> = Object.assign(Object.create(null), query)
  for (const name in fields) checkSource(name, headers)
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

/**
 * Refuses a field that the URI of the client has too. Caddy appends the query of the client to `uri /user/verify`: a client
 * could set `optional`.
 */
function checkSource(field: string, headers: AnyRequest['headers']): void {
  for (const name of URI_HEADERS) {
    const [, query = ''] = String(headers[name] ?? '').split(/\?(.*)/s)
    if (!new URLSearchParams(query).has(field)) continue
    throw new InvalidQueryError("must come from the proxy's configuration, and repeats a field of the client's query")
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
