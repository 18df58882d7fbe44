import { InvalidOptionError } from '../errors.js'
import type { HttpUpstreamConfig } from '../upstream/upstream-config.js'
import type { UpstreamDispatcher } from '../upstream/upstream-dispatcher.js'
import { checkBoolean, checkFields, checkInteger, checkOptionalFunction, checkRequired, hasMethods } from './checks.js'
import { resolveHeaders } from './resolve-upstream-headers.js'
import { resolveHttpTokens } from './resolve-upstream-tokens.js'
import type { HttpUpstreamOptions } from './upstream-options.js'

/**
 * The options of an upstream over HTTP, with every default.
 *
 * @param jwtSecrets secrets that must not encrypt the upstream's tokens
 * @throws {InvalidOptionError}
 */
export function resolveHttpUpstream(input: HttpUpstreamOptions, jwtSecrets: readonly Buffer[]): HttpUpstreamConfig {
  const options = checkFields('upstream', input, OPTIONS)
  const { origin, basePath } = parseBaseUrl(checkRequired('upstream.baseUrl', options.baseUrl))
  const { dispatcher, logoutPath } = options
  if (dispatcher !== undefined && !hasMethods<UpstreamDispatcher>(dispatcher, 'request')) {
    throw new InvalidOptionError('upstream.dispatcher', 'must be an undici Dispatcher')
  }
  const pathOf = (name: 'loginPath' | 'registerPath' | 'logoutPath', defaultPath?: string) =>
    basePath + checkUpstreamPath(`upstream.${name}`, options[name], defaultPath)
  const checkPath = (option: string, path: unknown) => basePath + checkUpstreamPath(option, path)
  const functionOf = <Name extends FunctionName>(name: Name) => checkOptionalFunction(`upstream.${name}`, options[name])
  return {
    origin,
    paths: {
      login: pathOf('loginPath', '/user/login'),
      register: pathOf('registerPath', '/user/register'),
      logout: logoutPath === undefined ? undefined : pathOf('logoutPath')
    },
    dispatcher,
    timeoutMs: checkInteger('upstream.timeoutMs', options.timeoutMs, DEFAULT_TIMEOUT_MS),
    maxResponseBytes: checkInteger('upstream.maxResponseBytes', options.maxResponseBytes, 65_536),
    ...resolveHeaders(options),
    forwardClientIp: checkBoolean('upstream.forwardClientIp', options.forwardClientIp, false),
    mapCredentials: functionOf('mapCredentials'),
    mapRegistration: functionOf('mapRegistration'),
    mapError: functionOf('mapError'),
    selectUser: functionOf('selectUser') ?? defaultSelectUser,
    selectData: functionOf('selectData'),
    tokens: resolveHttpTokens(options.tokens, { jwtSecrets, checkPath })
  }
}

/** The default of `upstream.timeoutMs`, in milliseconds. */
export const DEFAULT_TIMEOUT_MS = 5_000

type FunctionName = 'mapCredentials' | 'mapRegistration' | 'mapError' | 'selectUser' | 'selectData'

const OPTIONS: (keyof HttpUpstreamOptions)[] = [
  'baseUrl',
  'dispatcher',
  'loginPath',
  'registerPath',
  'logoutPath',
  'timeoutMs',
  'maxResponseBytes',
  'headers',
  'forwardHeaders',
  'forwardClientIp',
  'mapCredentials',
  'mapRegistration',
  'mapError',
  'selectUser',
  'selectData',
  'tokens'
]

function defaultSelectUser(body: unknown): unknown {
  return (body as { user: unknown }).user
}

function parseBaseUrl(baseUrl: unknown): { origin: string; basePath: string } {
  // The URL parser is too lenient: it drops white space, resolves `..`, and finds a host in `http:/a` and `http:///a`.
  const [, origin = '', path = ''] = (typeof baseUrl === 'string' && BASE_URL.exec(baseUrl)) || []
  if (!URL.canParse(origin) || !(path === '' || PATH.test(path))) {
    throw new InvalidOptionError(
      'upstream.baseUrl',
      'must be like `https://api.example.com` or `https://api.example.com/path`: http or https, no credentials, no query'
    )
  }
  return { origin: new URL(origin).origin, basePath: path }
}

const BASE_URL = /^(https?:\/\/[\w.:[\]-]+)(\/[^?#]*[^?#/])?\/?$/i

/** A path that every server reads alike: no empty, `.` or `..` segment, no escape; with an optional query of pairs. */
export function checkUpstreamPath(option: string, value: unknown, defaultPath?: string): string {
  const path = value === undefined ? defaultPath : value
  if (typeof path === 'string') {
    const end = path.includes('?') ? path.indexOf('?') : path.length
    if (PATH.test(path.slice(0, end)) && (end === path.length || isQuery(path.slice(end + 1)))) return path
  }
  throw new InvalidOptionError(
    option,
    'must be a path like `/user/login` or `/v1/accounts:signIn?key=…`, of letters, digits, `-`, `.`, `_`, `~` and `:`, ' +
      'with an encoded query'
  )
}

const PATH = /^(?:\/(?!\.{1,2}(?:\/|$))[\w.~-][\w.~:-]*)+\/?$/

/** Whether the query consists of `name=value` pairs in the characters of RFC 3986 3.4. */
function isQuery(query: string): boolean {
  return query.split('&').every((pair) => PAIR.test(pair)) && !/\.\.|\/\//.test(query)
}

const PAIR = /^(?:[\w.~!$'()*+,;:@/?-]|%[\da-f]{2})+=(?:[\w.~!$'()*+,;:@/?=-]|%[\da-f]{2})+$/i
