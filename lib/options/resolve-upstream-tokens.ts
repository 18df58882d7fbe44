import { InvalidOptionError } from '../errors.js'
import type { TokenCustodyOptions } from '../upstream/token-options.js'
import type { HttpTokensConfig, TokensConfig } from '../upstream/upstream-config.js'
import { checkFields, checkInteger, checkOptionalFunction } from './checks.js'
import { resolveSecrets } from './resolve-secrets.js'
import type { HttpTokenCustodyOptions } from './upstream-options.js'

/**
 * `tokens` of an `UpstreamClient` of the application, with every default.
 *
 * @param jwtSecrets secrets that must not encrypt tokens: a secret has one purpose
 * @throws {InvalidOptionError}
 */
export function resolveTokens(
  input: TokenCustodyOptions | undefined,
  jwtSecrets: readonly Buffer[]
): TokensConfig | undefined {
  return input === undefined ? undefined : resolve(checkFields(OPTION, input, FIELDS), jwtSecrets)
}

/**
 * `upstream.tokens` of an upstream over HTTP, with every default.
 *
 * @param jwtSecrets like that of {@link resolveTokens}
 * @param checkPath checks a path of the upstream
 * @throws {InvalidOptionError}
 */
export function resolveHttpTokens(
  input: HttpTokenCustodyOptions | undefined,
  { jwtSecrets, checkPath }: { jwtSecrets: readonly Buffer[]; checkPath: (option: string, path: unknown) => string }
): HttpTokensConfig | undefined {
  if (input === undefined) return undefined
  const { select, refreshPath, ...options } = checkFields(OPTION, input, [...FIELDS, 'select', 'refreshPath'])
  const resolved = resolve(options, jwtSecrets)
  if (refreshPath !== undefined && resolved.refresh !== undefined) {
    throw new InvalidOptionError(`${OPTION}.refreshPath`, `contradicts \`${OPTION}.refresh\`: set one of both`)
  }
  return {
    ...resolved,
    select: checkOptionalFunction(`${OPTION}.select`, select) ?? selectTokens,
    refreshPath: refreshPath === undefined ? undefined : checkPath(`${OPTION}.refreshPath`, refreshPath)
  }
}

const OPTION = 'upstream.tokens'
const FIELDS: (keyof TokenCustodyOptions)[] = ['secrets', 'refresh', 'refreshBeforeSeconds', 'maxBytes']

function resolve(options: TokenCustodyOptions, jwtSecrets: readonly Buffer[]): TokensConfig {
  const secrets = resolveSecrets(options.secrets, `${OPTION}.secrets`)
  if (secrets.some((secret) => jwtSecrets.some((jwtSecret) => jwtSecret.equals(secret)))) {
    throw new InvalidOptionError(`${OPTION}.secrets`, 'must not have a secret of `jwt.secret`')
  }
  const { refreshBeforeSeconds } = options
  return {
    secrets,
    refresh: checkOptionalFunction(`${OPTION}.refresh`, options.refresh),
    refreshBeforeMs: checkInteger(`${OPTION}.refreshBeforeSeconds`, refreshBeforeSeconds, 30, { min: 0 }) * 1_000,
    maxBytes: checkInteger(`${OPTION}.maxBytes`, options.maxBytes, 8_192)
  }
}

/** The fields of RFC 6749 5.1. */
function selectTokens(body: unknown): unknown {
  const { access_token: accessToken, refresh_token: refreshToken, expires_in: expiresIn } = body as TokenFields
  return { accessToken, refreshToken, expiresIn }
}

interface TokenFields {
  access_token?: unknown
  refresh_token?: unknown
  expires_in?: unknown
}
