import { InvalidOptionError } from '../errors.js'
import { checkBoolean, checkFields } from './checks.js'
import type { CookieOptions } from './cookie-options.js'

/** The options of the cookie with every default. */
export type ResolvedCookie = { readonly [Name in keyof CookieOptions]-?: Exclude<CookieOptions[Name], undefined> }

/**
 * @returns null: no cookie
 * @throws {InvalidOptionError}
 */
export function resolveCookie(cookie: CookieOptions | false = false): ResolvedCookie | null {
  if (cookie === false) return null
  const { name, sameSite, persistent, origins } = checkFields('cookie', cookie, FIELDS)
  return {
    name: resolveName(name),
    sameSite: resolveSameSite(sameSite),
    persistent: checkBoolean('cookie.persistent', persistent, true),
    origins: resolveOrigins(origins)
  }
}

const FIELDS: (keyof CookieOptions)[] = ['name', 'sameSite', 'persistent', 'origins']

/** A token of RFC 9110 behind the prefix of RFC 6265bis 4.1.3.2. */
const COOKIE_NAME = /^__Host-[\w!#$%&'*+.^`|~-]+$/

function resolveName(name: unknown = '__Host-Http-session'): string {
  if (typeof name === 'string' && COOKIE_NAME.test(name)) return name
  throw new InvalidOptionError('cookie.name', 'must be a cookie name that begins with `__Host-`')
}

function resolveSameSite(sameSite: unknown = 'lax'): 'lax' | 'strict' {
  if (sameSite === 'lax' || sameSite === 'strict') return sameSite
  throw new InvalidOptionError('cookie.sameSite', "must be 'lax' or 'strict'")
}

function resolveOrigins(origins: unknown = []): string[] {
  if (Array.isArray(origins) && origins.every(isOrigin)) return [...origins]
  throw new InvalidOptionError(
    'cookie.origins',
    'must be an array of http and https origins as browsers send them, such as `https://www.example.com`: ' +
      'in lower case, without a path and without a default port'
  )
}

/** Whether a browser sends this text in an `Origin` header: the header is compared exactly, so no wildcard matches. */
function isOrigin(value: unknown): value is string {
  return (
    typeof value === 'string' && /^https?:[^*]+$/.test(value) && URL.canParse(value) && new URL(value).origin === value
  )
}
