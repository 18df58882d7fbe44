import type { SessionEndReason } from '../errors.js'

/**
 * Where sessions live. Three outcomes that must not be mixed up:
 *
 * - found: the text kept under the id, a record or the reason why the session ended;
 * - not found: `null`, a normal answer. It ends the session in the client, which deletes its data;
 * - could not ask or tell: a rejection. Answered 503, and nothing is deleted anywhere.
 *
 * A store that is not sure must reject: one that takes a disk or a server that is gone for an empty one logs everybody
 * out. Each method is atomic, for every process that shares the store. It is given up after `storeTimeoutMs`, and may
 * still take effect later.
 *
 * An id is 38 characters of `A-Za-z0-9_-`; the first 16 are the user's **tag**, the same for all his sessions.
 * A **record** is text with a space in it; `Number.parseInt(record, 36)` is the epoch millisecond at which the session
 * ends at the latest. A **reason** is a word. A session is **live** while a record is kept under its id and the `lifeMs`
 * given with that record (milliseconds, a positive integer) are not over.
 */
export interface SessionStore {
  /**
   * Keeps a record under a new id: while the session is live and {@link KEPT_AFTER_LIFE_MS} more, not for ever. With a
   * limit it first sees to it that the new session fits in, and resolves to false if it does not, with nothing changed.
   */
  create(id: string, record: string, lifeMs: number, limit: SessionLimit | null): Promise<boolean>
  /** The record or the reason kept under this id, or null. */
  find(id: string): Promise<string | null>
  /**
   * Puts `next` in the place of `record`, to be kept as if new; or resolves to false, with nothing changed, when that is
   * not what is kept or the session is no longer live. Nothing that has ended comes back.
   */
  replace(id: string, record: string, next: string, lifeMs: number): Promise<boolean>
  /** Puts the reason in the place of the record, to be kept until the record's end. Without a record it does nothing. */
  end(id: string, reason: SessionEndReason): Promise<void>
  /** Does that to all sessions of the user, but for the one with `exceptId`. */
  endAll(tag: string, reason: SessionEndReason, exceptId: string | null): Promise<void>
  /**
   * The user's records in the order of their creation, the oldest first, also of those created within a millisecond.
   * Records of sessions that are no longer live may be among them.
   */
  list(tag: string): Promise<StoredSession[]>
  /** Tells of every change to what is kept, by whomever, for the option `cache`. A store that cannot does not have it. */
  track?(options: TrackingOptions): ChangeTracking
}

/** What a cache wants to be told of. */
export interface TrackingOptions {
  /** Milliseconds that a change may stay untold, when a connection has been cut and nobody noticed. */
  maxStaleMs: number
  /** Something of the user with this tag has changed, or may have; of anybody, when it is null. */
  onChange(tag: string | null): void
  /** The store, or what stands in front of it, does not let us track. The message starts with a code. */
  onRefused(error: Error): void
}

/** A store that tells of its changes, from now until `close()`. */
export interface ChangeTracking {
  /** Settles when the first attempt is over, whatever came of it. */
  readonly attempted: Promise<unknown>
  /** Whether all changes have been told that were made `maxStaleMs` ago or earlier. Asked for every request. */
  isCurrent(): boolean
  close(): void
}

/** How many live sessions a user may have, the new one included. */
export interface SessionLimit {
  max: number
  /** With what reason the oldest ones end to make room for the new one; null: they stay, and the new one is refused. */
  evictionReason: SessionEndReason | null
}

/** What {@link SessionStore.list} finds. */
export interface StoredSession {
  id: string
  record: string
}

/** How long the record of a session that is no longer live is still found: so that the client is told that it expired. */
export const KEPT_AFTER_LIFE_MS = 60_000
