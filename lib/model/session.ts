import type { Static, TObject, TString } from 'typebox'

/**
 * Declare your `userSchema`, and what you keep in a session besides, here once: `request.session` has their types
 * everywhere.
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
 * `requestSession: false` here takes the declaration of `request.session` away, for a project in which @fastify/session or
 * @fastify/secure-session declares it: `request.getDecorator<RequestSession>('session')` reads it there.
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled by the application through declaration merging
export interface SessionTypes {}

/** The schema declared in {@link SessionTypes}; without a declaration any object schema with an `id`. */
export type UserSchema = SessionTypes extends { userSchema: infer Schema extends TObject }
  ? Schema
  : TObject<{ id: TString }>

/** The user a session belongs to, as far as `userSchema` lets it through. `id` is always a string. */
export type User = Static<UserSchema> & { id: string }

/** What is declared in {@link SessionTypes}; without a declaration any JSON. A new session has none of it, unless the login brings some. */
export type SessionData = SessionTypes extends { data: infer Data extends object }
  ? Partial<Data>
  : Record<string, unknown>

/** Fields of {@link SessionData} to set; those that are undefined are removed. */
export type SessionDataPatch = { [Field in keyof SessionData]?: SessionData[Field] | undefined }

/** One login of one user. */
export interface Session {
  /** 38 characters of base64url, 132 of its bits random. Knowing it is not enough to use the session. */
  readonly id: string
  /** As far as `userSchema` let the upstream's user through at the login. */
  readonly user: User
  /** The application's own. To change it call `update()`: an assignment is not kept. */
  readonly data: Readonly<SessionData>
  /** Epoch milliseconds of the login. */
  readonly createdAt: number
  /** Epoch milliseconds at which the session ends, whatever happens before. */
  readonly expiresAt: number
  /**
   * Epoch milliseconds of the last written activity: it is written at most once in a tenth of `idleTimeoutSeconds`. The
   * idle timeout counts from here. Without an idle timeout it is the time of the login.
   */
  readonly lastSeenAt: number
  /** `request.ip` of the login, so only as true as Fastify's `trustProxy` is set right. */
  readonly ip: string | null
  /** `User-Agent` of the login, as the client wrote it, cut at 256 characters. */
  readonly userAgent: string | null
}

/** `request.session`. */
export interface RequestSession extends Session {
  /**
   * Changes fields of `data`, here and in the store: `app.sessions.update()` for this session.
   *
   * @returns the session as it is now, or null when it has ended meanwhile
   * @throws {InvalidDataError} the data would be longer than `session.maxDataBytes`
   * @throws {StoreUnavailableError}
   */
  update(patch: SessionDataPatch): Promise<Session | null>
}

/**
 * What this package declares on `FastifyRequest`: `session`, unless `SessionTypes` has `requestSession: false`, for a
 * project in which another package, such as @fastify/session, declares a property of this name.
 */
export type SessionDeclaration = SessionTypes extends { requestSession: false } ? object : FastifyJwtSessionRequest

interface FastifyJwtSessionRequest {
  /**
   * The session behind a `verifySession`. Without one, on a route that is not guarded or on an `optional` one, it is
   * null, which this type leaves out.
   */
  session: RequestSession
}
