import { PlainCause } from '../internal/redact-error.js'
import { callApplication } from './call-application.js'
import { readJson } from './read-json.js'
import { errorForStatus, warnOfRefusal } from './status-error.js'
import { toUpstreamError } from './to-upstream-error.js'
import type { UpstreamCall } from './upstream-client.js'
import type { HttpUpstreamConfig, UpstreamAnswer } from './upstream-config.js'
import type { UpstreamHttpResponse } from './upstream-dispatcher.js'

/** Writes to the log of the host. */
export interface UpstreamLog {
  warn(fields: object, text: string): void
}

/**
 * Reads what the upstream says to a login or a registration: resolves to the JSON of a good answer.
 *
 * @throws {UpstreamError} the upstream or `mapError` says no
 * @throws {PlainCause} the answer cannot be used
 */
export type ReadAnswer = (
  operation: UpstreamAnswer['operation'],
  response: UpstreamHttpResponse,
  call: UpstreamCall
) => Promise<unknown>

/**
 * Makes the function that tells what an answer of the upstream means.
 *
 * @param log gets the statuses of refused logins that may mean a wrong configuration
 */
export function createReadAnswer(
  { mapError, maxResponseBytes }: Pick<HttpUpstreamConfig, 'mapError' | 'maxResponseBytes'>,
  log: UpstreamLog
): ReadAnswer {
  /** @throws what the application makes of the answer */
  async function callMapError(answer: UpstreamAnswer): Promise<void> {
    const { operation } = answer
    const result = await callApplication({ operation, option: 'mapError' }, () => mapError?.(answer))
    if (result === undefined) return
    throw new PlainCause(`${operation}: \`mapError\` did not return an UpstreamError or undefined`)
  }

  /** A `mapError` that fails has not said whether the upstream accepts; but one may fail for want of a body, and says nothing. */
  async function askApplication(answer: UpstreamAnswer): Promise<void> {
    try {
      await callMapError(answer)
    } catch (error) {
      throw answer.body === undefined ? error : toUpstreamError(answer.operation, error)
    }
  }

  return async (operation, response, call) => {
    const { statusCode: status } = response
    if (isGood(response) || mapError !== undefined) {
      const read = await readJson(response, maxResponseBytes)
      const isJson = 'json' in read
      await askApplication({ operation, status, body: isJson ? read.json : undefined })
      if (isGood(response)) {
        if (isJson) return read.json
        throw new PlainCause(`${operation}: the answer ${read.problem}`, read.code)
      }
    } else dumpBody(response, maxResponseBytes, call)
    if (operation === 'login') warnOfRefusal(log, status)
    throw errorForStatus(operation, response)
  }
}

/** Whether the upstream has said yes. */
export function isGood({ statusCode }: UpstreamHttpResponse): boolean {
  return statusCode >= 200 && statusCode <= 299
}

/** Reads away a body that is not needed, within the bounds of the call: the connection can be used again. */
export function dumpBody({ body }: UpstreamHttpResponse, limit: number, { signal, waitUntil }: UpstreamCall): void {
  waitUntil(body.dump({ limit, signal }))
}
