import {
  CredentialsRejectedError,
  isUpstreamError,
  RegistrationRejectedError,
  UpstreamBusyError,
  type UpstreamError,
  UpstreamInvalidError,
  UpstreamUnavailableError
} from '../errors.js'
import { PlainCause } from '../internal/redact-error.js'
import type { UpstreamOperation } from './upstream-client.js'
import type { UpstreamResponse } from './upstream-response.js'

/**
 * Statuses that reject a login, with the same error reply for each status: a client cannot distinguish a locked account
 * from an unknown account. The same statuses refuse a refresh token.
 */
const LOGIN_REJECTIONS = [400, 401, 402, 403, 404, 409, 410, 412, 422, 423, 428, 451]

/** Whether an error of a refresh says that the refresh token is refused. */
export function isRefreshRefusal(error: unknown): error is UpstreamError {
  return isUpstreamError(error) && LOGIN_REJECTIONS.includes(error.statusCode)
}

/** The error for a response with a status other than 2xx. */
export function errorForStatus(
  operation: UpstreamOperation,
  { statusCode, headers }: Pick<UpstreamResponse, 'statusCode' | 'headers'>
): UpstreamError {
  const isRedirect = statusCode >= 300 && statusCode <= 399
  const cause = new PlainCause(
    `${operation}: the upstream answered ${statusCode}${isRedirect ? ', and redirects are not followed' : ''}`,
    undefined,
    statusCode
  )
  const isLogin = operation === 'login' || operation === 'refresh'
  if (isLogin && LOGIN_REJECTIONS.includes(statusCode)) return new CredentialsRejectedError(cause)
  if (operation === 'register' && (statusCode === 400 || statusCode === 409 || statusCode === 422)) {
    return new RegistrationRejectedError(statusCode, { cause })
  }
  const retryAfter = headers['retry-after']
  if (statusCode === 429) return new UpstreamBusyError(typeof retryAfter === 'string' ? retryAfter : undefined, cause)
  if (statusCode === 503) return new UpstreamUnavailableError(cause)
  return new UpstreamInvalidError(cause)
}

/** The part of the host's logger used for the upstream. */
export interface UpstreamLog {
  warn(fields: object, text: string): void
}

/** Statuses that clearly reject the credentials. Another status may also mean a malformed request. */
const CLEAR_REJECTIONS = [401, 403, 423]

/** Statuses already logged by the process. */
const logged = new Set<number>()

/**
 * Warns when the status of a rejected login may be due to a wrong configuration: clients and the request log see only a
 * wrong password. Once per process and status.
 */
export function warnOfRejection(log: UpstreamLog, status: number): void {
  if (!LOGIN_REJECTIONS.includes(status) || CLEAR_REJECTIONS.includes(status) || logged.has(status)) return
  logged.add(status)
  log.warn(
    { operation: 'login', status },
    `The upstream answered ${status} to a login, and the client got the error reply for a wrong password. If the ` +
      'password was right, check `upstream.loginPath`, `upstream.mapCredentials` and `upstream.headers`.'
  )
}
