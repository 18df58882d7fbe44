import type { Static, TObject, TString } from 'typebox'

/**
 * Declare your `userSchema` here once, and `request.session.user` has its type everywhere:
 *
 * ```ts
 * const userSchema = Type.Object({ id: Type.String(), name: Type.String() })
 *
 * declare module 'fastify-jwt-session' {
 *   interface SessionTypes {
 *     userSchema: typeof userSchema
 *   }
 * }
 * ```
 */
// biome-ignore lint/suspicious/noEmptyInterface: filled by the application through declaration merging
export interface SessionTypes {}

/** The schema declared in {@link SessionTypes}; without a declaration any object schema with an `id`. */
export type UserSchema = SessionTypes extends { userSchema: infer Schema extends TObject }
  ? Schema
  : TObject<{ id: TString }>

/** The user a session belongs to, as far as `userSchema` lets it through. `id` is always a string. */
export type User = Static<UserSchema> & { id: string }

/** One login of one user. */
export interface Session {
  /** 32 characters of base64url, 144 of its bits random. Knowing it is not enough to use the session. */
  readonly id: string
  /** As far as `userSchema` let the upstream's user through at the login. */
  readonly user: User
  /** Epoch milliseconds of the login. */
  readonly createdAt: number
  /** Epoch milliseconds at which the session ends, whatever happens before. */
  readonly expiresAt: number
  /** Epoch milliseconds; the time of the login, as long as sessions have no idle timeout. */
  readonly lastSeenAt: number
  /** `request.ip` of the login, so only as true as Fastify's `trustProxy` is set right. */
  readonly ip: string | null
  /** `User-Agent` of the login, as the client wrote it, cut at 256 characters. */
  readonly userAgent: string | null
}
