import { type Dispatcher, Pool } from 'undici'
import {
  CredentialsRejectedError,
  isUpstreamError,
  RegistrationRejectedError,
  UpstreamBusyError,
  type UpstreamError,
  UpstreamInvalidError,
  UpstreamTimeoutError,
  UpstreamUnavailableError
} from '../errors.js'
import type { ResolvedHttpUpstream } from '../options/resolve-upstream.js'
import { toUpstreamError } from './to-upstream-error.js'
import type { UpstreamClient, UpstreamContext } from './upstream-client.js'

/** The error for a status that is this operation's "no"; undefined for any other status. */
type Rejection = (statusCode: number) => UpstreamError | undefined

const rejectedLogin: Rejection = (statusCode) =>
  [400, 401, 403, 404, 422].includes(statusCode) ? new CredentialsRejectedError() : undefined

const rejectedRegistration: Rejection = (statusCode) =>
  statusCode === 400 || statusCode === 409 || statusCode === 422 ? new RegistrationRejectedError(statusCode) : undefined

interface Exchange {
  path: string
  payload: unknown
  context: UpstreamContext
  rejection?: Rejection
  /** How to read the body of a good answer; without it only the status counts. */
  read?: (body: ResponseBody, maxBytes: number) => Promise<unknown>
}

type ResponseBody = Dispatcher.ResponseData['body']

/** The upstream over HTTP: JSON there, JSON back, one request each time, never retried and never redirected. */
export function createHttpUpstream(options: ResolvedHttpUpstream): UpstreamClient & { close(): Promise<void> } {
  const { origin, paths, timeoutMs, maxResponseBytes } = options
  const ownPool = options.dispatcher === undefined ? new Pool(origin, { connect: { timeout: timeoutMs } }) : undefined
  const dispatcher = options.dispatcher ?? (ownPool as Pool)

  /** Built from nothing: of the client's headers only those on the allow-list pass. */
  function requestHeaders({ headers }: UpstreamContext): Record<string, string> {
    const result: Record<string, string> = {}
    for (const name of options.forwardHeaders) {
      const value = headers[name]
      if (typeof value === 'string') result[name] = value
    }
    result['content-type'] = 'application/json'
    result.accept = 'application/json'
    result['accept-encoding'] = 'identity'
    return result
  }

  /** Sends one request and reads its answer, both within one deadline: undici's own timers only watch for idleness. */
  async function post({ path, payload, context, rejection, read }: Exchange): Promise<unknown> {
    const deadline = startDeadline(timeoutMs, context.signal)
    try {
      const { statusCode, headers, body } = await dispatcher.request({
        origin,
        path,
        method: 'POST',
        headers: requestHeaders(context),
        body: JSON.stringify(payload),
        signal: deadline.signal
      })
      body.once('close', deadline.clear)
      const isGood = statusCode >= 200 && statusCode <= 299
      if (isGood && read !== undefined) return await read(body, maxResponseBytes)
      // The body of an answer that is only a status is read away, within the same bounds: the connection can be used again.
      body.dump({ limit: maxResponseBytes, signal: deadline.signal }).catch(() => {})
      if (isGood) return undefined
      throw rejection?.(statusCode) ?? errorForStatus(statusCode, headers['retry-after'])
    } catch (error) {
      if (isUpstreamError(error)) throw error
      deadline.clear()
      throw deadline.hasPassed() ? new UpstreamTimeoutError() : new UpstreamInvalidError(error)
    }
  }

  async function postForUser(exchange: Exchange): Promise<unknown> {
    const answer = await post({ ...exchange, read: readJson })
    try {
      return options.selectUser(answer)
    } catch (error) {
      throw toUpstreamError(error)
    }
  }

  const { logout: logoutPath } = paths
  return {
    login: (payload, context) => postForUser({ path: paths.login, payload, context, rejection: rejectedLogin }),
    register: (payload, context) =>
      postForUser({ path: paths.register, payload, context, rejection: rejectedRegistration }),
    ...(logoutPath && { logout: ({ user }, context) => post({ path: logoutPath, payload: { user }, context }) }),
    async close() {
      await ownPool?.close()
    }
  }
}

/** Aborts `signal` after `timeoutMs`, or when the client goes. `clear` stops the clock. */
function startDeadline(timeoutMs: number, clientGone: AbortSignal) {
  const controller = new AbortController()
  let passed = false
  const abort = () => controller.abort()
  const timer = setTimeout(() => {
    passed = true
    abort()
  }, timeoutMs)
  clientGone.addEventListener('abort', abort, { once: true })
  return {
    signal: controller.signal,
    hasPassed: () => passed,
    clear: () => clearTimeout(timer)
  }
}

async function readJson(body: ResponseBody, maxBytes: number): Promise<unknown> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) throw new RangeError('The body is too large')
    chunks.push(chunk)
  }
  const text = new TextDecoder('utf-8', { fatal: true }).decode(Buffer.concat(chunks))
  return JSON.parse(text, dropPrototypeKey)
}

/** A reviver: `selectUser` is the application's code and may copy what it gets with `Object.assign`. */
function dropPrototypeKey(key: string, value: unknown): unknown {
  return key === '__proto__' ? undefined : value
}

function errorForStatus(statusCode: number, retryAfter: string | string[] | undefined): UpstreamError {
  if (statusCode === 429) return new UpstreamBusyError(typeof retryAfter === 'string' ? retryAfter : undefined)
  if (statusCode === 503) return new UpstreamUnavailableError()
  return new UpstreamInvalidError()
}
