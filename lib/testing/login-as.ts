import { AssertionError } from 'node:assert'
import type { InjectOptions, LightMyRequestResponse } from 'fastify'
import { InvalidOptionError, type SessionEndReason } from '../errors.js'
import { INTERNALS, type Internals } from '../live/internals.js'
import { type CreatedSession, createOpenSession, type SessionDetails } from '../login/open-session.js'
import type { Session, User } from '../model/session.js'
import { checkFields, orDefaultEmpty } from '../options/checks.js'
import { expOf } from '../token/access-token.js'
import { createEndSession } from './end-session.js'
import { headersOf, withHeaders } from './request-headers.js'
import { createUnstoredSession } from './unstored-session.js'

/** The app under test, or a scope of it: what `Fastify()` returns, with any server, logger and type provider. */
export interface TestApp {
  inject(options: InjectOptions | string): Promise<LightMyRequestResponse>
  after(): PromiseLike<unknown>
}

/** Options of {@link loginAs}. */
export interface LoginAsOptions extends SessionDetails {
  /**
   * Epoch milliseconds of the login, not in the future. Default: now. A session whose lifetime is over by now is not
   * stored, and requests are answered `expired`.
   */
  createdAt?: number | undefined
  /** Epoch milliseconds of the last activity: the start of the idle timeout. Default: `createdAt`. */
  lastSeenAt?: number | undefined
}

/** A session of a test. The functions can be used without the object. */
export interface TestLogin {
  /** The signed token. `end('unknown')` and `end('invalid_token')` change the token. */
  readonly token: string
  /** The session as it was opened. */
  readonly session: Session
  /**
   * The headers by which a client sends the token: `authorization`; with the option `cookie` of the plugin `cookie`,
   * and `sec-fetch-site: same-origin` as from a page of the app. The object always has the current token.
   */
  readonly headers: Readonly<Record<string, string>>
  /** Like `app.inject()`, with {@link headers}. A header of the request takes precedence; other cookies are added. */
  inject(options: InjectOptions | string): Promise<LightMyRequestResponse>
  /**
   * Ends the session: from then on requests are answered 401 with this reason, and event streams and signals of the
   * session end. Two reasons are not states of a stored session:
   *
   * - `unknown`: the session ends as `revoked`, and {@link headers} have a good token of a session that was never stored;
   * - `invalid_token`: {@link headers} have a token with a wrong signature. The session stays open.
   *
   * @throws {AssertionError} the session had ended before, for another reason
   * @throws {StoreUnavailableError}
   * @throws {InvalidOptionError} no such reason
   */
  end(reason: SessionEndReason): Promise<void>
}

/**
 * Opens a session without the upstream, like `app.sessions.create()`, and sends requests with the session. The app may
 * still be loading: plugins that are registered are loaded first, and routes may be added afterwards.
 *
 * ```ts
 * const ada = await loginAs(app, { id: '1' })
 * const response = await ada.inject('/me')
 * ```
 *
 * @param app the app, or the scope in which the plugin is registered
 * @param user matches `userSchema`
 * @throws {AssertionError} no app, the plugin is not registered in the scope, or the user does not match `userSchema`
 * @throws {InvalidOptionError} an unknown option, or a time in the future. Other errors: see `app.sessions.create()`
 */
export async function loginAs(app: TestApp, user: User, options?: LoginAsOptions): Promise<TestLogin> {
  const { createdAt, lastSeenAt, ...details } = checkFields('options', orDefaultEmpty(options), OPTIONS)
  const now = Date.now()
  const loginAt = checkTime('createdAt', createdAt, { from: 0, now, rule: 'not in the future' })
  const times = {
    createdAt: loginAt,
    lastSeenAt: checkTime('lastSeenAt', lastSeenAt ?? createdAt, {
      from: loginAt,
      now,
      rule: 'from `createdAt` to now'
    })
  }
  const internals = await internalsOf(app)
  const { ttlSeconds = internals.lifetimes.ttlSeconds } = details
  const isOver = expOf({ expiresAt: loginAt + ttlSeconds * 1_000 }) * 1_000 <= now
  const open = isOver ? createUnstoredSession(internals) : createOpenSession(internals)
  const { token, session } = await open(parseUser(internals, user), { ...details, ...times })
  return createLogin(app, internals, { token, session })
}

const OPTIONS: (keyof LoginAsOptions)[] = ['data', 'ip', 'userAgent', 'ttlSeconds', 'createdAt', 'lastSeenAt']

/** @throws {InvalidOptionError} */
function checkTime(option: string, time: number | undefined, { from, now, rule }: TimeRange): number {
  if (time === undefined) return now
  if (Number.isInteger(time) && time >= from && time <= now) return time
  throw new InvalidOptionError(option, `must be epoch milliseconds, ${rule}`)
}

/** Epoch milliseconds. */
interface TimeRange {
  from: number
  now: number
  /** For people. */
  rule: string
}

/** @throws {AssertionError} */
async function internalsOf(app: TestApp): Promise<Internals> {
  if (typeof app?.after !== 'function') {
    throw new AssertionError({ message: 'loginAs(): the first argument must be the app or the scope' })
  }
  const scope: { [INTERNALS]?: Internals } & object = app
  // `app.ready()` would load the plugins too, but no route could be added afterwards.
  await app.after()
  const internals = scope[INTERNALS]
  if (internals !== undefined) return internals
  throw new AssertionError({
    message:
      'fastify-jwt-session is not registered in this app. Registered in a scope, it needs loginAs() with the scope'
  })
}

/** @throws {AssertionError} */
function parseUser({ users }: Internals, user: User): User {
  const parsed = users.parse(user)
  if (parsed !== null) return parsed
  throw new AssertionError({ message: `loginAs(): ${users.explain(user)}` })
}

function createLogin(app: TestApp, internals: Internals, opened: CreatedSession): TestLogin {
  const { cookieName } = internals
  const headers = headersOf(opened.token, cookieName)
  const endSession = createEndSession(internals, opened)
  let { token } = opened
  return {
    get token() {
      return token
    },
    session: opened.session,
    headers,
    inject: (options) => app.inject(withHeaders(options, headers, cookieName)),
    async end(reason) {
      token = await endSession(reason)
      Object.assign(headers, headersOf(token, cookieName))
    }
  }
}
