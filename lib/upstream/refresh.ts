import { PlainCause } from '../internal/redact-error.js'
import { callApplication } from './call-application.js'
import { readJson } from './read-json.js'
import { drainBody } from './read-response.js'
import type { SendRequest } from './send-request.js'
import { errorForStatus } from './status-error.js'
import type { UpstreamCall } from './upstream-client.js'
import type { HttpUpstreamConfig, TokensConfig } from './upstream-config.js'
import { isSuccess } from './upstream-response.js'

/**
 * Exchanges a refresh token for new tokens, which the caller checks.
 *
 * @throws {UpstreamError} decided by the status, or by the application
 * @throws {PlainCause} the request failed, or the response has no tokens
 */
export type Refresh = (refreshToken: string, call: UpstreamCall) => Promise<unknown>

const operation = 'refresh'

/**
 * The refresh of the HTTP upstream: the function of the application, or a POST of `{ refresh_token }`, answered like a
 * login. Undefined when tokens are not refreshed.
 */
export function createRefresh(config: HttpUpstreamConfig, send: SendRequest): Refresh | undefined {
  const { tokens } = config
  const path = tokens?.refreshPath
  if (path === undefined) return refreshByApplication(tokens?.refresh)

  return async (refreshToken, call) => {
    const response = await send({ operation, path, body: { refresh_token: refreshToken } }, call)
    if (!isSuccess(response)) {
      drainBody(response, call)
      throw errorForStatus(operation, response)
    }
    const read = await readJson(response)
    if (!('json' in read)) throw new PlainCause(`${operation}: the response ${read.problem}`, read.code)
    return callApplication({ operation, option: 'tokens.select' }, () => tokens?.select(read.json))
  }
}

/** The refresh by a function of the application, which gets no internals of the plugin. */
export function refreshByApplication(refresh: TokensConfig['refresh']): Refresh | undefined {
  if (refresh === undefined) return undefined
  return (refreshToken, { signal }) =>
    callApplication({ operation, option: 'tokens.refresh' }, () => refresh(refreshToken, { signal }))
}
