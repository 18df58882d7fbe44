import { InvalidOptionError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'
import type { HttpUpstreamConfig } from '../upstream/upstream-config.js'
import type { HttpUpstreamOptions } from './upstream-options.js'

/** The headers that go to the upstream, with names in lower case. */
type ResolvedHeaders = Pick<HttpUpstreamConfig, 'headers' | 'forwardHeaders'>

/**
 * Headers that say who is speaking, how the message is framed, or what a proxy vouches for: the client must not write
 * them into a request of ours. Compared with `_` as `-`, because CGI-style servers take `X_Forwarded_For` for its twin.
 */
const NEVER_FORWARDED = new RegExp(
  '^(?:accept|accept-encoding|authorization|connection|content-.*|cookie|expect|forwarded|host|http2-settings|keep-alive|' +
    'proxy-.*|set-cookie.*|te|trailer|transfer-encoding|upgrade|via|x-forwarded-.*|x-real-ip)$'
)

/** Headers that say how the message is framed, or where it comes from: these are for the plugin to write. */
const NEVER_FIXED = new RegExp(
  '^(?:accept-encoding|connection|content-.*|expect|host|http2-settings|keep-alive|proxy-connection|te|trailer|' +
    'transfer-encoding|upgrade|x-forwarded-.*)$'
)

const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/

/** Printable, without white space at either end, which no server would see. */
const HEADER_VALUE = /^[!-~](?:[ -~]*[!-~])?$/

/** @throws {InvalidOptionError} */
export function resolveHeaders(options: Pick<HttpUpstreamOptions, 'headers' | 'forwardHeaders'>): ResolvedHeaders {
  const headers = checkHeaders(options.headers)
  const forwardHeaders = checkForwardHeaders(options.forwardHeaders)
  const fixed = Object.keys(headers).map(twinOf)
  const twice = forwardHeaders.find((name) => fixed.includes(twinOf(name)))
  if (twice === undefined) return { headers, forwardHeaders }
  throw new InvalidOptionError(
    'upstream.forwardHeaders',
    `must not contain \`${twice}\`, which \`upstream.headers\` has`
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
    const rule = `must have a text of printable ASCII characters, not empty, for \`${name}\``
    throw new InvalidOptionError('upstream.headers', rule)
  })
  const result: Record<string, string> = Object.fromEntries(checked)
  if (new Set(Object.keys(result).map(twinOf)).size === entries.length) return result
  throw new InvalidOptionError('upstream.headers', 'must not have a name twice')
}

function checkForwardHeaders(names: readonly string[] = []): readonly string[] {
  if (!Array.isArray(names)) throw new InvalidOptionError('upstream.forwardHeaders', 'must be an array of header names')
  checkNames('upstream.forwardHeaders', names, NEVER_FORWARDED)
  return names.map((name) => name.toLowerCase())
}

/** Whether servers may take one header for the other. */
function twinOf(name: string): string {
  return name.toLowerCase().replaceAll('_', '-')
}

function checkNames(option: string, names: readonly unknown[], refused: RegExp): void {
  for (const name of names) {
    if (typeof name !== 'string' || !HEADER_NAME.test(name))
      throw new InvalidOptionError(option, 'must have header names')
    if (refused.test(twinOf(name))) throw new InvalidOptionError(option, `must not contain \`${name}\``)
  }
}
