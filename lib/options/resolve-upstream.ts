import type { Dispatcher } from 'undici'
import { InvalidOptionError } from '../errors.js'
import { checkCount, checkFields, checkOptionalFunction, checkPath, hasMethods } from './checks.js'
import type { HttpUpstreamOptions } from './options.js'

/** The HTTP upstream's options, checked and with their defaults. */
export interface ResolvedHttpUpstream {
  origin: string
  paths: { login: string; register: string; logout: string | undefined }
  dispatcher: Pick<Dispatcher, 'request'> | undefined
  timeoutMs: number
  maxResponseBytes: number
  /** In lower case. */
  forwardHeaders: readonly string[]
  selectUser: (body: unknown) => unknown
}

/**
 * Headers that say who is speaking, how the message is framed, or what a proxy vouches for: the client must not write
 * them into a request of ours. Compared with `_` as `-`, because CGI-style servers take `X_Forwarded_For` for its twin.
 */
const NEVER_FORWARDED = new RegExp(
  '^(?:accept|accept-encoding|authorization|connection|content-.*|cookie|expect|forwarded|host|http2-settings|keep-alive|' +
    'proxy-.*|set-cookie.*|te|trailer|transfer-encoding|upgrade|via|x-forwarded-.*|x-real-ip)$'
)

const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/

/** @throws {InvalidOptionError} */
export function resolveHttpUpstream(input: HttpUpstreamOptions): ResolvedHttpUpstream {
  const options = checkFields('upstream', input, OPTIONS)
  const { origin, basePath } = parseBaseUrl(options.baseUrl)
  const { dispatcher, logoutPath } = options
  if (dispatcher !== undefined && !hasMethods<Dispatcher>(dispatcher, 'request')) {
    throw new InvalidOptionError('upstream.dispatcher', 'must be an undici Dispatcher')
  }
  return {
    origin,
    paths: {
      login: basePath + checkPath('upstream.loginPath', options.loginPath, '/user/login'),
      register: basePath + checkPath('upstream.registerPath', options.registerPath, '/user/register'),
      logout: logoutPath === undefined ? undefined : basePath + checkPath('upstream.logoutPath', logoutPath)
    },
    dispatcher,
    timeoutMs: checkCount('upstream.timeoutMs', options.timeoutMs, 5_000),
    maxResponseBytes: checkCount('upstream.maxResponseBytes', options.maxResponseBytes, 65_536),
    forwardHeaders: checkForwardHeaders(options.forwardHeaders),
    selectUser: checkOptionalFunction('upstream.selectUser', options.selectUser) ?? defaultSelectUser
  }
}

const OPTIONS: (keyof HttpUpstreamOptions)[] = [
  'baseUrl',
  'dispatcher',
  'loginPath',
  'registerPath',
  'logoutPath',
  'timeoutMs',
  'maxResponseBytes',
  'forwardHeaders',
  'selectUser'
]

function defaultSelectUser(body: unknown): unknown {
  return (body as { user: unknown }).user
}

function parseBaseUrl(baseUrl: unknown): { origin: string; basePath: string } {
  // Not what URL makes of it: that drops white space, resolves `..`, and finds a host in `http:/a` and `http:///a`.
  const [, origin = '', path = ''] = (typeof baseUrl === 'string' && BASE_URL.exec(baseUrl)) || []
  if (!URL.canParse(origin)) {
    throw new InvalidOptionError(
      'upstream.baseUrl',
      'must be like `https://api.example.com` or `https://api.example.com/path`: http or https, no credentials, no query'
    )
  }
  return { origin: new URL(origin).origin, basePath: path === '' ? '' : checkPath('upstream.baseUrl', path) }
}

const BASE_URL = /^(https?:\/\/[\w.:[\]-]+)(\/[^?#]*[^?#/])?\/?$/i

function checkForwardHeaders(names: readonly string[] = []): readonly string[] {
  if (!Array.isArray(names) || !names.every((name) => typeof name === 'string' && HEADER_NAME.test(name))) {
    throw new InvalidOptionError('upstream.forwardHeaders', 'must be an array of header names')
  }
  const refused = names.find((name) => NEVER_FORWARDED.test(name.toLowerCase().replaceAll('_', '-')))
  if (refused !== undefined) throw new InvalidOptionError('upstream.forwardHeaders', `must not contain \`${refused}\``)
  return names.map((name) => name.toLowerCase())
}
