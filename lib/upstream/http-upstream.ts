import { Pool } from 'undici'
import { isUpstreamError } from '../errors.js'
import { isPlainObject } from '../internal/json.js'
import { PlainCause, redactError } from '../internal/redact-error.js'
import type { Session } from '../model/session.js'
import { callApplication } from './call-application.js'
import { createReadAnswer, dumpBody, isGood, type UpstreamLog } from './read-answer.js'
import { EMPTY } from './read-json.js'
import { createSendRequest } from './send-request.js'
import { errorForStatus } from './status-error.js'
import type { UpstreamCall, UpstreamLogin } from './upstream-client.js'
import type { HttpUpstreamConfig } from './upstream-config.js'
import { whenAborted } from './when-aborted.js'

/** The upstream over HTTP. It has no deadline of its own, and obeys the signal of each call. */
export interface HttpUpstream {
  login(credentials: unknown, call: UpstreamCall): Promise<UpstreamLogin>
  register(registration: unknown, call: UpstreamCall): Promise<{ user: unknown }>
  logout?(session: Session, call: UpstreamCall): Promise<void>
  /** Closes the pool, unless the dispatcher is the application's. */
  close(): Promise<void>
}

/**
 * Milliseconds that a connection of the own pool may be idle when the upstream has not said how long it keeps one. An
 * upstream may close an idle connection at any time, and a request that is on its way meanwhile fails: it is not sent
 * again.
 */
const KEEP_ALIVE_MS = 100

/** One request for each call, never retried and never redirected: JSON or a form there, JSON back. */
export function createHttpUpstream(config: HttpUpstreamConfig, log: UpstreamLog): HttpUpstream {
  const { paths, mapCredentials, mapRegistration, selectUser, selectData, maxResponseBytes } = config
  const ownPool = config.dispatcher === undefined ? createPool(config) : undefined
  const send = createSendRequest(config, config.dispatcher ?? (ownPool as Pool))
  const read = createReadAnswer(config, log)

  async function login(body: unknown, call: UpstreamCall): Promise<UpstreamLogin> {
    const operation = 'login'
    const mapping = mapCredentials && ({ option: 'mapCredentials', map: mapCredentials } as const)
    const response = await send({ operation, path: paths.login, body, mapping }, call)
    const answer = await read(operation, response, call)
    const user = await callApplication({ operation, option: 'selectUser' }, () => selectUser(answer))
    const data = await callApplication({ operation, option: 'selectData' }, () => selectData?.(answer))
    if (data === undefined || data === null) return { user }
    if (isPlainObject(data)) return { user, data }
    throw new PlainCause('login: `selectData` did not return an object or undefined')
  }

  async function register(body: unknown, call: UpstreamCall): Promise<{ user: unknown }> {
    const operation = 'register'
    const mapping = mapRegistration && ({ option: 'mapRegistration', map: mapRegistration } as const)
    const response = await send({ operation, path: paths.register, body, mapping }, call)
    const selected = read(operation, response, call).then((answer) =>
      callApplication({ operation, option: 'selectUser' }, () => selectUser(answer))
    )
    return { user: await (isGood(response) ? userCreated(selected, call) : selected) }
  }

  /** Once the upstream has said yes the user exists, whatever becomes of the rest, unless the application says otherwise. */
  async function userCreated(selected: Promise<unknown>, { signal }: UpstreamCall): Promise<unknown> {
    try {
      return await Promise.race([selected, whenAborted(signal)])
    } catch (error) {
      if (isUpstreamError(error)) throw error
      const { message, code } = redactError(error)
      if (code !== EMPTY)
        log.warn({ cause: message }, 'The user of a registration is not known, though it was accepted')
      return undefined
    }
  }

  /** Only the status of the answer counts. */
  async function logout(path: string, { user }: Session, call: UpstreamCall): Promise<void> {
    const response = await send({ operation: 'logout', path, body: { user } }, call)
    dumpBody(response, maxResponseBytes, call)
    if (!isGood(response)) throw errorForStatus('logout', response)
  }

  const { logout: logoutPath } = paths
  return {
    login,
    register,
    ...(logoutPath !== undefined && { logout: (session, call) => logout(logoutPath, session, call) }),
    async close() {
      await ownPool?.close()
    }
  }
}

function createPool({ origin, timeoutMs }: HttpUpstreamConfig): Pool {
  return new Pool(origin, { connect: { timeout: timeoutMs }, keepAliveTimeout: KEEP_ALIVE_MS })
}
