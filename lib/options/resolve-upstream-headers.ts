import { InvalidOptionError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'
import type { HttpUpstreamConfig } from '../upstream/upstream-config.js'
import type { HttpUpstreamOptions } from './upstream-options.js'

/** Headers of the calls to the upstream, with names in lower case. */
type ResolvedHeaders = Pick<HttpUpstreamConfig, 'headers' | 'forwardHeaders'>

/**
 * Headers of credentials, message framing and proxies, which a client must not write into requests to the upstream.
 * Names are compared with `_` as `-`: CGI-style servers read `X_Forwarded_For` and `X-Forwarded-For` alike.
 */
const NEVER_FORWARDED = new RegExp(
  '^(?:accept|accept-encoding|authorization|connection|content-.*|cookie|expect|forwarded|host|http2-settings|keep-alive|' +
    'proxy-.*|set-cookie.*|te|trailer|transfer-encoding|upgrade|via|x-forwarded-.*|x-real-ip)$'
)

/** Headers of message framing and of the client's address, which only the plugin writes. */
const NEVER_FIXED = new RegExp(
  '^(?:accept-encoding|connection|content-.*|expect|host|http2-settings|keep-alive|proxy-connection|te|trailer|' +
    'transfer-encoding|upgrade|x-forwarded-.*)$'
)

const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/

/** Printable ASCII without white space at either end, which servers strip. */
const HEADER_VALUE = /^[!-~](?:[ -~]*[!-~])?$/

/** @throws {InvalidOptionError} */
export function resolveHeaders(options: Pick<HttpUpstreamOptions, 'headers' | 'forwardHeaders'>): ResolvedHeaders {
  const headers = checkHeaders(options.headers)
  const forwardHeaders = checkForwardHeaders(options.forwardHeaders)
  const fixed = Object.keys(headers).map(normalizeName)
  const duplicate = forwardHeaders.find((name) => fixed.includes(normalizeName(name)))
  if (duplicate === undefined) return { headers, forwardHeaders }
  throw new InvalidOptionError(
    'upstream.forwardHeaders',
    `must not contain \`${duplicate}\`, which \`upstream.headers\` has`
  )
}

function checkHeaders(headers: HttpUpstreamOptions['headers']): Record<string, string> {
  if (headers === undefined) return {}
  if (!isPlainObject(headers))
    throw new InvalidOptionError('upstream.headers', 'must be an object of header values by name')
  const entries = Object.entries(headers)
  checkNames('upstream.headers', Object.keys(headers), NEVER_FIXED)
  const checked = entries.map(([name, value]) => {
    if (typeof value === 'string' && HEADER_VALUE.test(value)) return [name.toLowerCase(), value]
    const rule = `must have a value of printable ASCII characters, not empty, for \`${name}\``
    throw new InvalidOptionError('upstream.headers', rule)
  })
  const result: Record<string, string> = Object.fromEntries(checked)
  if (new Set(Object.keys(result).map(normalizeName)).size === entries.length) return result
  throw new InvalidOptionError('upstream.headers', 'must not have a name twice')
}

function checkForwardHeaders(names: readonly string[] = []): readonly string[] {
  if (!Array.isArray(names)) throw new InvalidOptionError('upstream.forwardHeaders', 'must be an array of header names')
  checkNames('upstream.forwardHeaders', names, NEVER_FORWARDED)
  return names.map((name) => name.toLowerCase())
}

/** The name as CGI-style servers read it: names that differ in case, or in `_` and `-`, are equal. */
function normalizeName(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

function checkNames(option: string, names: readonly unknown[], refused: RegExp): void {
  for (const name of names) {
    if (typeof name !== 'string' || !HEADER_NAME.test(name))
      throw new InvalidOptionError(option, 'must have header names')
    if (refused.test(normalizeName(name))) throw new InvalidOptionError(option, `must not contain \`${name}\``)
  }
}
