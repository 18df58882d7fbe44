import {
  CredentialsRejectedError,
  RegistrationRejectedError,
  UpstreamBusyError,
  type UpstreamError,
  UpstreamInvalidError,
  UpstreamUnavailableError
} from '../errors.js'
import { PlainCause } from '../internal/redact-error.js'
import type { UpstreamOperation } from './upstream-client.js'
import type { UpstreamHttpResponse } from './upstream-dispatcher.js'

/** All are one answer to the client: an account that is locked, blocked or unpaid is not told from an unknown account. */
const REFUSALS_OF_LOGIN = [400, 401, 402, 403, 404, 409, 410, 412, 422, 423, 428, 451]

/** What the status of an answer means that is not 2xx. */
export function errorForStatus(
  operation: UpstreamOperation,
  { statusCode, headers }: Pick<UpstreamHttpResponse, 'statusCode' | 'headers'>
): UpstreamError {
  const isRedirect = statusCode >= 300 && statusCode <= 399
  const cause = new PlainCause(
    `${operation}: the upstream answered ${statusCode}${isRedirect ? ', and redirects are not followed' : ''}`
  )
  if (operation === 'login' && REFUSALS_OF_LOGIN.includes(statusCode)) return new CredentialsRejectedError(cause)
  if (operation === 'register' && (statusCode === 400 || statusCode === 409 || statusCode === 422)) {
    return new RegistrationRejectedError(statusCode, { cause })
  }
  const retryAfter = headers['retry-after']
  if (statusCode === 429) return new UpstreamBusyError(typeof retryAfter === 'string' ? retryAfter : undefined, cause)
  if (statusCode === 503) return new UpstreamUnavailableError(cause)
  return new UpstreamInvalidError(cause)
}

/** Statuses that say no to credentials: any other may as well say that the request was wrong. */
const PLAIN_REFUSALS = [401, 403, 423]

/** Statuses that have been logged in this process. */
const suspected = new Set<number>()

/**
 * Logs the first login that was refused with a status that an upstream answers too when it is not configured as it should
 * be: to the client, and in the log of requests, all of them look like a wrong password. Once per process and status.
 */
export function warnOfRefusal(log: { warn(fields: object, text: string): void }, status: number): void {
  if (!REFUSALS_OF_LOGIN.includes(status) || PLAIN_REFUSALS.includes(status) || suspected.has(status)) return
  suspected.add(status)
  log.warn(
    { operation: 'login', status },
    `The upstream answered ${status} to a login, which clients are told as a wrong password. If that is not what the ` +
      'upstream means, check `upstream.loginPath`, `upstream.mapCredentials` and `upstream.headers`.'
  )
}
