import { isUpstreamError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { Session } from '../model/session.js'
import { callApplication } from './call-application.js'
import { openTransport } from './open-transport.js'
import { EMPTY } from './read-json.js'
import { createReadResponse, drainBody, type ReadResponse } from './read-response.js'
import { createRefresh, type Refresh } from './refresh.js'
import type { BodyMapping } from './request-body.js'
import { createSendRequest, type SendRequest } from './send-request.js'
import { errorForStatus, type UpstreamLog } from './status-error.js'
import type { UpstreamCall, UpstreamClient, UpstreamLogin } from './upstream-client.js'
import type { HttpUpstreamConfig } from './upstream-config.js'
import { isSuccess, type UpstreamResponse } from './upstream-response.js'
import { whenAborted } from './when-aborted.js'

/**
 * The upstream over HTTP. Each call is a single POST, never retried or redirected, with JSON or a form as the request
 * and JSON as the response. The timeout is up to the caller, through the signal of the call.
 */
export class HttpUpstream implements UpstreamClient {
  readonly #config: HttpUpstreamConfig
  readonly #log: UpstreamLog
  readonly #send: SendRequest
  readonly #read: ReadResponse
  /** Closes the connection pool. A dispatcher of the application stays open. */
  readonly close: () => Promise<void>
  /** Absent without `logoutPath`. */
  readonly logout?: (session: Session, call: UpstreamCall) => Promise<void>
  /** Absent when tokens are not refreshed. */
  readonly refresh?: Refresh

  constructor(config: HttpUpstreamConfig, log: UpstreamLog) {
    const transport = openTransport(config)
    this.#config = config
    this.#log = log
    this.#send = createSendRequest(config, transport)
    this.#read = createReadResponse(config, log)
    this.close = () => transport.close()
    const { logout: logoutPath } = config.paths
    if (logoutPath !== undefined) this.logout = (session, call) => this.#logout(logoutPath, session, call)
    const refresh = createRefresh(config, this.#send)
    if (refresh !== undefined) this.refresh = refresh
  }

  async login(body: unknown, call: UpstreamCall): Promise<UpstreamLogin> {
    const operation = 'login'
    const { paths, mapCredentials, selectUser, selectData, tokens: tokenOptions } = this.#config
    const mapping: BodyMapping | undefined = mapCredentials && { option: 'mapCredentials', map: mapCredentials }
    const response = await this.#send({ operation, path: paths.login, body, mapping }, call)
    const json = await this.#read(operation, response, call)
    const user = await callApplication({ operation, option: 'selectUser' }, () => selectUser(json))
    const data = selectData && (await callApplication({ operation, option: 'selectData' }, () => selectData(json)))
    if (data !== undefined && data !== null && !isPlainObject(data)) {
      throw new PlainCause('login: `selectData` did not return an object or undefined')
    }
    const place = { operation, option: 'tokens.select' } as const
    const tokens = tokenOptions && (await callApplication(place, () => tokenOptions.select(json)))
    // The caller of the login checks the tokens.
    return { user, data: data ?? undefined, tokens: tokens as UpstreamLogin['tokens'] }
  }

  /** After a 2xx response the registration succeeds: without a valid body, with an undefined user. */
  async register(body: unknown, call: UpstreamCall): Promise<{ user: unknown }> {
    const operation = 'register'
    const { paths, mapRegistration } = this.#config
    const mapping: BodyMapping | undefined = mapRegistration && { option: 'mapRegistration', map: mapRegistration }
    const response = await this.#send({ operation, path: paths.register, body, mapping }, call)
    const reading = this.#readRegisteredUser(response, call)
    try {
      // Only an accepted registration succeeds without the user at the timeout.
      return { user: await (isSuccess(response) ? Promise.race([reading, whenAborted(call.signal)]) : reading) }
    } catch (error) {
      // An error of `mapError` or `selectUser`: the application decides otherwise.
      if (!isSuccess(response) || isUpstreamError(error)) throw error
      const { message, code } = redactError(error)
      if (code !== EMPTY) this.#log.warn({ cause: message }, 'A registration was accepted without a user to return')
      return { user: undefined }
    }
  }

  async #readRegisteredUser(response: UpstreamResponse, call: UpstreamCall): Promise<unknown> {
    const operation = 'register'
    const json = await this.#read(operation, response, call)
    return callApplication({ operation, option: 'selectUser' }, () => this.#config.selectUser(json))
  }

  /** Reads only the status of the response. */
  async #logout(path: string, { user }: Session, call: UpstreamCall): Promise<void> {
    const response = await this.#send({ operation: 'logout', path, body: { user } }, call)
    drainBody(response, call)
    if (!isSuccess(response)) throw errorForStatus('logout', response)
  }
}
