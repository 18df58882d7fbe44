import { PlainCause } from '../internal/redact-error.js'
import { callApplication } from './call-application.js'
import { readJson } from './read-json.js'
import { errorForStatus, type UpstreamLog, warnOfRejection } from './status-error.js'
import { toUpstreamError } from './to-upstream-error.js'
import type { UpstreamCall } from './upstream-client.js'
import type { HttpUpstreamConfig, UpstreamAnswer } from './upstream-config.js'
import { isSuccess, type UpstreamResponse } from './upstream-response.js'

/**
 * Reads a response to a login or a registration, and resolves to the JSON of a 2xx response.
 *
 * @throws {UpstreamError} decided by `mapError` or by the status
 * @throws {PlainCause} a 2xx response without valid JSON, or a `mapError` that failed for want of a body
 */
export type ReadResponse = (
  operation: UpstreamAnswer['operation'],
  response: UpstreamResponse,
  call: UpstreamCall
) => Promise<unknown>

/**
 * Creates the function that reads responses.
 *
 * @param log gets the statuses of rejected logins that may be due to a wrong configuration
 */
export function createReadResponse({ mapError }: Pick<HttpUpstreamConfig, 'mapError'>, log: UpstreamLog): ReadResponse {
  /** @throws {UpstreamError} of `mapError`; also when a `mapError` with a body failed: acceptance is uncertain */
  async function callMapError(map: NonNullable<typeof mapError>, answer: UpstreamAnswer): Promise<void> {
    const { operation } = answer
    try {
      const result = await callApplication({ operation, option: 'mapError' }, () => map(answer))
      if (result === undefined) return
      throw new PlainCause(`${operation}: \`mapError\` did not return an UpstreamError or undefined`)
    } catch (error) {
      // Without a body, `mapError` may fail on the missing body alone: the status then decides on a registration.
      throw answer.body === undefined ? error : toUpstreamError(operation, error)
    }
  }

  return async (operation, response, call) => {
    const { statusCode: status } = response
    if (isSuccess(response) || mapError !== undefined) {
      const read = await readJson(response)
      const isJson = 'json' in read
      if (mapError) await callMapError(mapError, { operation, status, body: isJson ? read.json : undefined })
      if (isSuccess(response)) {
        if (isJson) return read.json
        throw new PlainCause(`${operation}: the response ${read.problem}`, read.code, status)
      }
    } else drainBody(response, call)
    if (operation === 'login') warnOfRejection(log, status)
    throw errorForStatus(operation, response)
  }
}

/** Discards a body, within the timeout of the call. */
export function drainBody(response: UpstreamResponse, call: UpstreamCall): void {
  call.waitUntil(response.discardBody())
}
