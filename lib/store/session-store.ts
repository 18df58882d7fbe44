/**
 * Where sessions live. Three outcomes that must not be mixed up:
 *
 * - found: a record, or the reason why the session ended;
 * - not found: `null`, a normal answer. It ends the session in the client, which deletes its data;
 * - could not ask: a rejection, and every reply that is not one of those below. Answered 503; nothing is deleted anywhere.
 *
 * A store that is not sure must reject: a store that takes a missing disk or server for an empty one logs every user out.
 * Each method is atomic for every process that shares the store. A call is abandoned after `storeTimeoutMs`, and may
 * still take effect later.
 *
 * An id is 38 characters of `A-Za-z0-9_-`; the first 16 are the user's **tag**, the same for all sessions of the user.
 * A **record** is text with a space in it, a few hundred bytes that only its writer reads. A record is stored until the
 * absolute expiry of its session, `expiresAt`; whether the session has expired by its idle timeout is not the store's
 * matter. An {@link EndReason} is a word.
 */
export interface SessionStore {
  /**
   * Stores a record under a new id. Opening the session, ending the session that it `replaces` and making room for the
   * limit are one step: every result but `'created'` has changed nothing. A second call with the same id and record
   * changes nothing and is `'created'` too, unless the session has ended meanwhile: then it is `'too_late'`.
   */
  create(id: string, record: string, options: CreateOptions): Promise<CreateResult>
  /** What is stored under this id, or null. */
  find(id: string): Promise<FoundRecord | null>
  /**
   * Stores `next` in the place of `record`, until the same absolute expiry. Resolves to false, with nothing changed, when
   * `record` is not what is stored. A session that has ended never comes back.
   */
  replace(id: string, record: string, next: string): Promise<boolean>
  /**
   * Stores the reason in the place of the record, until the absolute expiry of the session, and resolves to the record
   * that was there. When there is none it resolves to null and keeps the reason for {@link EARLY_END_MS} all the same, so
   * that a `create()` that arrives later finds it. The first reason is kept when a session is ended twice.
   */
  end(id: string, reason: EndReason): Promise<{ record: string } | null>
  /**
   * Ends every session of the user but the session with `exceptId`, also sessions that {@link list} does not know any
   * more. From now on a `create()` whose request came in before this call is `'revoked'`.
   */
  endAll(tag: string, reason: 'revoked', exceptId: string | null): Promise<void>
  /** The records of the user's sessions, in any order. Sessions that have expired may be among them. */
  list(tag: string): Promise<StoredSession[]>
  /** Notifies of every change of what is stored, by any process; for the option `cache`. Optional. */
  track?(options: TrackingOptions): ChangeTracking
  /** Measures when no process could write to the store; idle timeouts stand still meanwhile. Optional. */
  watchDowntime?(options: DowntimeOptions): DowntimeWatch
}

/** The reasons that a store stores: the only list of them. */
export const END_REASONS = ['logged_out', 'revoked', 'replaced', 'logged_in_again'] as const

/** Why a session has ended, as a store stores it. */
export type EndReason = (typeof END_REASONS)[number]

/** What {@link SessionStore.find} has found: the record, or why the session has ended. */
export type FoundRecord = { record: string } | { ended: EndReason }

/**
 * - `'created'`: the session is open;
 * - `'full'`: the user has as many sessions as the limit allows, and none of them may be ended;
 * - `'too_late'`: the call has arrived after `notAfter` or after the session's `expiresAt`, or the session has been ended
 *   before it arrived;
 * - `'revoked'`: `endAll()` was called after the request had come in.
 */
export type CreateResult = 'created' | 'full' | 'too_late' | 'revoked'

/** What {@link SessionStore.create} needs besides the record. */
export interface CreateOptions {
  /** Epoch milliseconds of the absolute expiry. */
  expiresAt: number
  /** How many milliseconds ago the request that opens the session came in. A duration: clocks are not compared. */
  startedMsAgo: number
  /** Epoch milliseconds by the clock of this process after which the call must change nothing any more. */
  notAfter: number
  limit: SessionLimit
  /** The id of a session of the same user that ends with `'logged_in_again'` and does not count; or null. */
  replaces: string | null
}

/** How many sessions a user may have, the new session included. */
export interface SessionLimit {
  /** 1 to 1,000. */
  max: number
  /**
   * What happens over the limit: the sessions whose last written activity is the oldest end with `'replaced'`, at most
   * {@link MAX_EVICTIONS} of them in one call; or the new session is refused.
   */
  onFull: 'evict' | 'reject'
  /** Called with the number of sessions that were evicted, when there are any. */
  onEvicted?(count: number): void
}

/** What {@link SessionStore.list} finds. */
export interface StoredSession {
  id: string
  record: string
}

/** What a cache is notified of. */
export interface TrackingOptions {
  /** Milliseconds that a change may stay unknown when a connection has been cut without a sign. */
  maxStaleMs: number
  /** Something of the user with this tag has changed, or may have; of any user, when it is null. */
  onChange(tag: string | null): void
  /** The store, or a proxy in front of it, does not allow tracking. The message starts with a code. */
  onRefused(error: Error): void
}

/** A store that notifies of its changes, until `close()`. */
export interface ChangeTracking {
  /** Settles when the first attempt is over, whatever its result. */
  readonly attempted: Promise<unknown>
  /** Whether every change that is older than `maxStaleMs` is known. Called for every request. */
  isCurrent(tag: string): boolean
  close(): void
}

/** How {@link SessionStore.watchDowntime} measures. */
export interface DowntimeOptions {
  /** Milliseconds between two attempts to write. */
  intervalMs: number
  /** Milliseconds for which downtime is remembered: the longest life of a session. */
  rememberMs: number
  /** Milliseconds after which an attempt without a response has failed. */
  timeoutMs: number
}

/** What is known of the downtime of a store, until `close()`. */
export interface DowntimeWatch {
  /** Settles when the first attempt is over, whatever its result. */
  readonly attempted: Promise<unknown>
  /**
   * When no process could write sessions of the user with this tag, the oldest period first, without overlaps; the period
   * that is not over ends at `now`. Null as long as this process does not know: an idle session may not have expired.
   */
  of(tag: string, now: number): readonly Downtime[] | null
  close(): void
}

/** A period in epoch milliseconds by the clock of this process. */
export interface Downtime {
  from: number
  to: number
}

/** For how long {@link SessionStore.end} keeps the reason of a session that is not there (yet). */
export const EARLY_END_MS = 600_000

/** How many sessions one {@link SessionStore.create} ends at most, so that a lowered limit does not hold up the store. */
export const MAX_EVICTIONS = 256
