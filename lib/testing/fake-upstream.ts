import { InvalidOptionError } from '../errors.js'
import { checkFields, orDefaultEmpty } from '../options/checks.js'
import { errorForStatus } from '../upstream/status-error.js'
import type { UpstreamClient, UpstreamContext } from '../upstream/upstream-client.js'
import { FakeUpstreamServer } from './fake-upstream-server.js'
import type { FakeAnswer, FakeUpstreamCall, FakeUpstreamPaths, FakeUser } from './fake-upstream-types.js'
import { FakeUsers } from './fake-users.js'
import { HeldCalls } from './held-calls.js'

/** Options of {@link createFakeUpstream}. */
export interface FakeUpstreamOptions {
  /** Default: none. Users that register are added. */
  users?: readonly FakeUser[] | undefined
  /** Milliseconds after which the plugin abandons a call: with `hang()` logins are answered 504 then. Default: 5 000. */
  timeoutMs?: number | undefined
}

/** An upstream for tests, in this process or over HTTP. The functions can be used without the object. */
export interface FakeUpstream extends UpstreamClient {
  register(registration: unknown, context: UpstreamContext): Promise<{ user: unknown }>
  logout(session: { user: unknown }, context: UpstreamContext): Promise<undefined>
  /** The calls so far, the oldest first, also calls that were rejected or wait. `calls.length = 0` forgets them. */
  readonly calls: FakeUpstreamCall[]
  /**
   * Every call is answered with this HTTP status until `heal()`: 401 and most others of 4xx reject the credentials, 429
   * is answered 429, 503 is answered 503, any other is answered 502. A logout succeeds all the same.
   *
   * @throws {InvalidOptionError} not an integer from 300 to 599
   */
  reject(status: number): void
  /** No call is answered until `heal()`. */
  hang(): void
  /** Calls are answered again, also those that wait and were not abandoned. */
  heal(): void
  /**
   * Serves the upstream over HTTP, for the option `upstream: { baseUrl }`: JSON or a form in, `{ user }` out. The server
   * does not keep the process alive. A second call resolves to the URL of the first.
   *
   * @returns the base URL, such as `http://127.0.0.1:40123`
   */
  listen(paths?: FakeUpstreamPaths): Promise<string>
  /** Closes the server with its connections. Does nothing without a server. */
  close(): Promise<void>
}

/**
 * Creates an upstream with users. A login succeeds when the password and every other field of its body that the user has
 * are equal, at least one other field: `{ username, password }`, or `{ email, password }` for users with an `email`. A
 * registration adds a user, and is answered 409 when the `username` or the `email` is taken, 400 without a password or
 * without both names.
 *
 * @throws {InvalidOptionError} a user without a password or without an id
 */
export function createFakeUpstream(options?: FakeUpstreamOptions): FakeUpstream {
  const { users, timeoutMs } = checkFields('options', orDefaultEmpty(options), ['users', 'timeoutMs'])
  const upstream = new FakeUpstreamState(new FakeUsers(users))
  const server = new FakeUpstreamServer((call, signal) => upstream.answer(call, signal))

  async function run(call: FakeUpstreamCall, signal: AbortSignal): Promise<unknown> {
    const { statusCode, user } = await upstream.answer(call, signal)
    if (statusCode >= 300) throw errorForStatus(call.operation, { statusCode, headers: {} })
    return user
  }

  return {
    timeoutMs,
    calls: upstream.calls,
    login: async (body, { headers, signal }) => ({ user: await run({ operation: 'login', body, headers }, signal) }),
    register: async (body, { headers, signal }) => ({
      user: await run({ operation: 'register', body, headers }, signal)
    }),
    async logout({ user }, { headers, signal }) {
      await run({ operation: 'logout', body: { user }, headers }, signal)
    },
    reject: (status) => upstream.reject(status),
    hang: () => upstream.hang(),
    heal: () => upstream.heal(),
    listen: (paths) => server.listen(paths),
    close: () => server.close()
  }
}

class FakeUpstreamState {
  readonly calls: FakeUpstreamCall[] = []
  readonly #users: FakeUsers
  readonly #held = new HeldCalls()
  #fault: 'hang' | { statusCode: number } | null = null

  constructor(users: FakeUsers) {
    this.#users = users
  }

  reject(statusCode: number): void {
    if (!Number.isInteger(statusCode) || statusCode < 300 || statusCode > 599) {
      throw new InvalidOptionError('status', 'must be an integer from 300 to 599')
    }
    this.#start({ statusCode })
  }

  hang(): void {
    this.#start('hang')
  }

  heal(): void {
    this.#start(null)
  }

  /** Resolves to any answer once the signal is aborted. */
  async answer(call: FakeUpstreamCall, signal: AbortSignal): Promise<FakeAnswer> {
    this.calls.push(call)
    while (!signal.aborted) {
      const fault = this.#fault
      if (fault !== 'hang') return fault ?? this.#users.answer(call)
      await this.#held.hold(Number.POSITIVE_INFINITY, signal)
    }
    return { statusCode: 504 }
  }

  #start(fault: 'hang' | { statusCode: number } | null): void {
    this.#fault = fault
    this.#held.release()
  }
}
