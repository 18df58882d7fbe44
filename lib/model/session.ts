import type { Static, TObject, TString } from 'typebox'

/**
 * Declares the types of `request.session` for the whole application: `userSchema`, and `data`, the application's own
 * fields of a session.
 *
 * ```ts
 * const userSchema = Type.Object({ id: Type.String(), name: Type.String() })
 *
 * declare module 'fastify-jwt-session' {
 *   interface SessionTypes {
 *     userSchema: typeof userSchema
 *     data: { cart?: string[] }
 *   }
 * }
 * ```
 *
 * `requestSession: false` removes the declaration of `request.session`, for a project in which another plugin, such as
 * `@fastify/session`, declares the property; `request.getDecorator<RequestSession>('session')` then returns the session.
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled by the application through declaration merging
export interface SessionTypes {}

/** The schema declared in {@link SessionTypes}. Default: an object schema with an `id`. */
export type UserSchema = SessionTypes extends { userSchema: infer Schema extends TObject }
  ? Schema
  : TObject<{ id: TString }>

/** The user of a session: the fields of `userSchema`. `id` is always a string. */
export type User = Static<UserSchema> & { id: string }

/**
 * The `data` declared in {@link SessionTypes}, each field optional. Default: JSON. A new session has the `data` of the
 * login, or no fields.
 */
export type SessionData = SessionTypes extends { data: infer Data extends object }
  ? Partial<Data>
  : Record<string, unknown>

/** Fields of {@link SessionData} to set; undefined fields are removed. */
export type SessionDataPatch = { [Field in keyof SessionData]?: SessionData[Field] | undefined }

/** A login session of a user. */
export interface Session {
  /** 38 base64url characters with 132 random bits. The id is not a credential: a request needs a signed token. */
  readonly id: string
  /** The user of the login: the fields of `userSchema`, replaced by `app.sessions.updateUser()`. */
  readonly user: User
  /** The application's own fields, changed by `update()`; an assignment is not stored. */
  readonly data: Readonly<SessionData>
  /** Epoch milliseconds of the login. */
  readonly createdAt: number
  /** Absolute expiry in epoch milliseconds. */
  readonly expiresAt: number
  /**
   * Epoch milliseconds of the last written activity, the start of the idle timeout. Activity is written at most once
   * per tenth of `idleTimeoutSeconds`. Without an idle timeout: the time of the login.
   */
  readonly lastSeenAt: number
  /** `request.ip` of the login; behind a proxy correct only with Fastify's `trustProxy`. */
  readonly ip: string | null
  /** `User-Agent` of the login, unverified, cut at 256 characters. */
  readonly userAgent: string | null
}

/** Access to the upstream on the user's behalf. */
export interface UpstreamAccess {
  /**
   * The upstream's access token of the session, refreshed when due. Concurrent calls share one refresh, in all processes.
   *
   * @param options `rejected`: the access token that the upstream has just answered with 401, to be refreshed
   * @throws {LoginNeededError} the session has no tokens, the tokens cannot be decrypted, or the refresh was refused
   * @throws {SessionEndedError} the session has ended
   * @throws {UpstreamError} the refresh failed, and the access token is no longer good: 502, 503 or 504
   * @throws {StoreUnavailableError}
   * @throws {InvalidOptionError} `rejected` is not a string
   */
  accessToken(options?: { rejected?: string | undefined }): Promise<string>
}

/** `request.session`. */
export interface RequestSession extends Session {
  /** The upstream's tokens. Undefined, contrary to the type, without the option `upstream.tokens`. Not enumerable. */
  readonly upstream: UpstreamAccess
  /**
   * Aborts when the session ends, with a `SessionEndedError` as the reason: for sockets, streams and long downloads. An
   * outage of the store does not abort. Created on first access, and without effect once the response or the upgraded
   * connection has closed.
   */
  readonly signal: AbortSignal
  /**
   * Changes fields of `data`, on the object and in the store, like `app.sessions.update()`.
   *
   * @returns the changed session, or null when the session has ended meanwhile
   * @throws {InvalidDataError} the changed data is longer than `session.maxDataBytes`
   * @throws {StoreUnavailableError}
   */
  update(patch: SessionDataPatch): Promise<Session | null>
}

/**
 * The declaration of `session` on `FastifyRequest`; empty when `SessionTypes` has `requestSession: false`, for a
 * project with the declaration of another package such as @fastify/session.
 */
export type SessionDeclaration = SessionTypes extends { requestSession: false } ? object : FastifyJwtSessionRequest

interface FastifyJwtSessionRequest {
  /**
   * The session after `verifySession`. Null, contrary to the type, on unguarded routes and without a token on
   * `optional` routes.
   */
  session: RequestSession
}
