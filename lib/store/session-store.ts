/**
 * The contract of a session store. A store must keep three outcomes apart:
 *
 * - found: a record, or the reason why the session has ended;
 * - not found: `null`, a normal reply. The session ends, and the browser deletes its data;
 * - failed: a rejection, or any reply that this contract does not define. The request is answered 503, and no browser
 *   deletes data.
 *
 * A store that cannot be sure must reject: a store that mistakes a missing disk or server for an empty store logs out every
 * user. Each method is atomic for all processes that share the store. The plugin abandons a call after
 * `storeTimeoutMs`; an abandoned call may still take effect later.
 *
 * An id has 38 characters of `A-Za-z0-9_-`. The first 16 are the user's **tag**, equal for all sessions of the user. A
 * **record** is a text with a space in it, of a few hundred bytes; only the plugin reads records. A record is stored
 * until the absolute expiry of its session, `expiresAt`; the idle timeout is no matter of the store. An
 * {@link EndReason} is a word.
 */
export interface SessionStore {
  /**
   * Stores a record under a new id. Opening the session, ending the session that it `replaces` and evicting sessions
   * over the limit are one step: every result except `'created'` has changed nothing. A second call with the same id
   * and record changes nothing and resolves to `'created'` too, or to `'too_late'` if the session has ended meanwhile.
   */
  create(id: string, record: string, options: CreateOptions): Promise<CreateResult>
  /** Resolves to the record or the reason under this id, or to null. */
  find(id: string): Promise<FoundRecord | null>
  /**
   * Stores `next` in the place of `record`, until the same absolute expiry. Resolves to false, with nothing changed,
   * when another value than `record` is stored. A session that has ended never becomes live again.
   */
  replace(id: string, record: string, next: string): Promise<boolean>
  /**
   * Stores the reason in the place of the record, until the absolute expiry of the session, and resolves to the former
   * record. Without a record it resolves to null and stores the reason for {@link EARLY_END_MS}, so that a `create()`
   * that arrives later is `'too_late'`. The first reason is kept when a session is ended twice.
   */
  end(id: string, reason: EndReason): Promise<{ record: string } | null>
  /**
   * Ends every session of the user except the session with `exceptId`, also sessions that {@link list} no longer
   * returns. From then on a `create()` whose request arrived before this call is `'revoked'`.
   */
  endAll(tag: string, reason: 'revoked', exceptId: string | null): Promise<void>
  /** Resolves to the records of the user's sessions, in any order. Expired sessions may be included. */
  list(tag: string): Promise<StoredSession[]>
  /**
   * Resolves to the text of {@link CreateOptions.tokens} or of the last {@link writeTokens}; null without such a text, and
   * for a session that is not live. Optional: for the option `upstream.tokens`, together with {@link writeTokens}.
   */
  readTokens?(id: string): Promise<string | null>
  /**
   * Stores `tokens` in the place of `previous`, until the absolute expiry of the session; null: in the place of no text.
   * Resolves to false, with nothing changed, when another value than `previous` is stored, or the session is not live.
   * Every method that ends a session deletes the text in the same step.
   */
  writeTokens?(id: string, tokens: string, previous: string | null): Promise<boolean>
  /** Notifies of every change of the stored sessions by any process, for the option `cache`. Optional. */
  track?(options: TrackingOptions): ChangeTracking
  /** Measures when no process could write to the store: downtime does not count as idle time. Optional. */
  watchDowntime?(options: DowntimeOptions): DowntimeWatch
}

/** The reasons that a store stores: lower-case letters and `_` only. Each is a `SessionEndReason` too. */
export const END_REASONS = ['logged_out', 'revoked', 'replaced', 'logged_in_again'] as const

/** Why a session has ended, as a store stores it. */
export type EndReason = (typeof END_REASONS)[number]

/** The result of {@link SessionStore.find}: the record, or why the session has ended. */
export type FoundRecord = { record: string } | { ended: EndReason }

/**
 * - `'created'`: the session is open;
 * - `'full'`: the user has as many sessions as the limit allows, and `onFull` is `'reject'`;
 * - `'too_late'`: the call arrived after `notAfter`, after the session's `expiresAt`, or after the session had ended;
 * - `'revoked'`: `endAll()` was called after the request had arrived.
 */
export type CreateResult = 'created' | 'full' | 'too_late' | 'revoked'

/** Options of {@link SessionStore.create}. */
export interface CreateOptions {
  /** Epoch milliseconds of the absolute expiry. */
  expiresAt: number
  /** Milliseconds since the request that opens the session arrived. A duration, so that no clocks are compared. */
  startedMsAgo: number
  /** Epoch milliseconds by the clock of this process. After this time the call must change nothing. */
  notAfter: number
  limit: SessionLimit
  /** The id of a session of the same user that ends with `'logged_in_again'` and does not count. Null: no session. */
  replaces: string | null
  /** Called when the session that it `replaces` was open until now. For diagnostics only. */
  onReplaced?(): void
  /**
   * The encrypted tokens of the upstream, for {@link SessionStore.readTokens}: stored beside the record in the same step,
   * 1 character or more. Only for a store with `readTokens()` and `writeTokens()`. A `create()` may ignore the tokens: the
   * plugin calls `writeTokens()` afterwards. Default: none.
   */
  tokens?: string | undefined
}

/** How many sessions a user may have, the new session included. */
export interface SessionLimit {
  /** 1 to 1,000. */
  max: number
  /**
   * `'evict'`: over the limit the sessions with the oldest written activity end with `'replaced'`, at most
   * {@link MAX_EVICTIONS} in one call. `'reject'`: the new session is rejected.
   */
  onFull: 'evict' | 'reject'
  /** Called with the number of evicted sessions, 1 or more. */
  onEvicted?(count: number): void
}

/** A session in the result of {@link SessionStore.list}. */
export interface StoredSession {
  id: string
  record: string
}

/** Options of {@link SessionStore.track}. */
export interface TrackingOptions {
  /** The longest time in milliseconds that a change may stay unknown after a connection has failed silently. */
  maxStaleMs: number
  /** A session of the user with this tag has changed, or may have changed. Null: sessions of any user. */
  onChange(tag: string | null): void
  /** The store, or a proxy before the store, does not allow tracking. The message starts with a code. */
  onRefused(error: Error): void
}

/** Notifications of changes, until `close()`. */
export interface ChangeTracking {
  /** Settles with the first attempt to track, also when the attempt fails. */
  readonly attempted: Promise<unknown>
  /** Whether every change of this user older than `maxStaleMs` is known. Called for every request. */
  isCurrent(tag: string): boolean
  close(): void
}

/** Options of {@link SessionStore.watchDowntime}. */
export interface DowntimeOptions {
  /** Milliseconds between two attempts to write. */
  intervalMs: number
  /** Milliseconds for which downtime is remembered: the longest lifetime of a session. */
  rememberMs: number
  /** Milliseconds after which an attempt without a response fails. */
  timeoutMs: number
}

/** The known downtime of a store, until `close()`. */
export interface DowntimeWatch {
  /** Settles with the first attempt to write, also when the attempt fails. */
  readonly attempted: Promise<unknown>
  /**
   * The periods in which no process could write sessions of the user with this tag, the oldest first, without overlaps.
   * A period that has not ended ends at `now`. Null while this process does not know: idle sessions then do not expire.
   */
  of(tag: string, now: number): readonly Downtime[] | null
  close(): void
}

/** A period in epoch milliseconds by the clock of this process. */
export interface Downtime {
  from: number
  to: number
}

/** How long {@link SessionStore.end} keeps the reason for a session that does not exist (yet), in milliseconds. */
export const EARLY_END_MS = 600_000

/** The most sessions that one {@link SessionStore.create} evicts, so that a lowered limit does not block the store. */
export const MAX_EVICTIONS = 256
