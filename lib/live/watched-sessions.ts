import type { FastifyBaseLogger } from 'fastify'
import { InvalidOptionError, type SessionEndReason } from '../errors.js'
import { redactError } from '../internal/redact-error.js'
import { warn } from '../internal/warn.js'
import type { Lifetimes } from '../model/lifetime.js'
import type { OpenRecord, UnusableReason } from '../model/open-record.js'
import type { Session } from '../model/session.js'
import { isSessionId, sessionTag } from '../model/session-id.js'
import type { DecodedRecord } from '../model/session-record.js'
import type { ChangeFeed } from '../store/change-feed.js'
import type { GuardedStore } from '../store/guarded-store.js'

/** An event of a watched session: the changed session, or why the session has ended. */
export type SessionEvent = { session: Session } | { ended: SessionEndReason }

/** A listener of `app.sessions.watch()`. */
export type SessionListener = (event: SessionEvent) => void

/** Dependencies of {@link WatchedSessions}. */
export interface WatchDeps {
  feed: ChangeFeed
  store: Pick<GuardedStore, 'find'>
  lifetimes: Pick<Lifetimes, 'idleExpiryOf'>
  openRecord: OpenRecord
  log: FastifyBaseLogger
}

interface Subscription {
  readonly listener: SessionListener
  /** The last state that the listener knows, see {@link fingerprintOf}. */
  known: string
}

interface Watched {
  readonly id: string
  readonly tag: string
  readonly subscriptions: Set<Subscription>
  /** Epoch milliseconds of the absolute expiry. */
  readonly expiresAt: number
  /** Epoch milliseconds at which the session expires without a change. */
  endsAt: number
  /** `performance.now()` of the next read. Infinity: no read until a change. */
  readAt: number
  /** Changes so far: a read that meets a change is repeated. */
  changes: number
  isReading: boolean
  /** Whether the feed has reported every change since the last read. */
  isCurrent: boolean
}

const TICK_MS = 250
/** After a lost connection the reads of all watched sessions are spread: over a millisecond each, at most this time. */
const SPREAD_MS = 1_000
/** Pause after a read without an answer, and after a read of a session whose expiry is not known. */
const RETRY_MS = 1_000
/** Pause between two reads while the feed does not report changes. */
const POLL_MS = 5_000

/**
 * Watches sessions until they end, on behalf of event streams, signals and the application. A session is read when a
 * change is reported, when its expiry has come, and after changes may have been missed; otherwise never. An outage ends
 * no session: only an answer of the store does, or the absolute expiry. Nothing is stored for a session without listener.
 */
export class WatchedSessions {
  readonly #deps: WatchDeps
  readonly #byId = new Map<string, Watched>()
  readonly #byTag = new Map<string, Set<Watched>>()
  #timer: NodeJS.Timeout | undefined
  #opened: Promise<void> | undefined

  constructor(deps: WatchDeps) {
    this.#deps = deps
  }

  /** Opens the tracking of changes. Resolves after the first attempt. The first {@link watch} does so too. */
  open(): Promise<void> {
    this.#opened ??= this.#deps.feed.subscribe({
      onChange: (tag) => this.#onChange(tag),
      onRefused: warnOfRefusal
    })
    return this.#opened
  }

  /**
   * Calls the listener with each change of the session, and once with the end, after which the watch is over. The
   * session may be older than the stored session: then the first call follows at once.
   *
   * @returns stops the watch
   * @throws {InvalidOptionError} not a session, or not a function
   */
  watch(session: Session, listener: SessionListener): () => void {
    if (!isSessionId(session?.id)) throw new InvalidOptionError('session', 'must be a session')
    if (typeof listener !== 'function') throw new InvalidOptionError('listener', 'must be a function')
    void this.open()
    const watched = this.#byId.get(session.id) ?? this.#add(session)
    const subscription = { listener, known: fingerprintOf(session) }
    watched.subscriptions.add(subscription)
    this.#readAgain(watched)
    return () => {
      watched.subscriptions.delete(subscription)
      if (watched.subscriptions.size === 0) this.#remove(watched)
    }
  }

  /** The number of watched sessions, for tests: none may be left behind. */
  get size(): number {
    return this.#byId.size
  }

  close(): void {
    clearInterval(this.#timer)
    this.#byId.clear()
    this.#byTag.clear()
  }

  #add({ id, expiresAt }: Session): Watched {
    const tag = sessionTag(id)
    const watched: Watched = {
      ...{ id, tag, expiresAt, subscriptions: new Set(), endsAt: expiresAt },
      ...{ readAt: Number.POSITIVE_INFINITY, changes: 0, isReading: false, isCurrent: false }
    }
    if (this.#byId.size === 0) this.#timer = setInterval(() => this.#tick(), TICK_MS).unref()
    this.#byId.set(id, watched)
    const sameUsers = this.#byTag.get(tag) ?? new Set()
    this.#byTag.set(tag, sameUsers.add(watched))
    return watched
  }

  #remove(watched: Watched): void {
    // After an end there may be a new watch of the same id.
    if (this.#byId.get(watched.id) !== watched) return
    this.#byId.delete(watched.id)
    const sameUsers = this.#byTag.get(watched.tag)
    sameUsers?.delete(watched)
    if (sameUsers?.size === 0) this.#byTag.delete(watched.tag)
    if (this.#byId.size === 0) clearInterval(this.#timer)
  }

  #onChange(tag: string | null): void {
    if (tag !== null) {
      for (const watched of this.#byTag.get(tag) ?? []) this.#readAgain(watched)
      return
    }
    for (const watched of this.#byId.values()) {
      watched.changes++
      watched.isCurrent = false
      this.#readSoon(watched)
    }
  }

  #readSoon(watched: Watched): void {
    const spreadMs = Math.min(SPREAD_MS, this.#byId.size)
    watched.readAt = Math.min(watched.readAt, performance.now() + Math.random() * spreadMs)
  }

  #readAgain(watched: Watched): void {
    watched.changes++
    void this.#read(watched)
  }

  #tick(): void {
    const { feed } = this.#deps
    const [now, epochNow] = [performance.now(), Date.now()]
    for (const watched of this.#byId.values()) {
      if (!watched.isCurrent && !watched.isReading && feed.isCurrent(watched.tag)) {
        watched.isCurrent = true
        this.#readSoon(watched)
      }
      if (watched.endsAt <= epochNow || watched.readAt <= now) void this.#read(watched)
    }
  }

  /** Never rejects. */
  async #read(watched: Watched): Promise<void> {
    if (watched.isReading) return
    const { store, feed, openRecord } = this.#deps
    const { id, tag, changes } = watched
    watched.isReading = true
    watched.readAt = Number.POSITIVE_INFINITY
    watched.endsAt = watched.expiresAt
    const wasCurrent = feed.isCurrent(tag)
    try {
      const opened = openRecord(id, await store.find(id))
      watched.isCurrent = wasCurrent && feed.isCurrent(tag)
      if (!watched.isCurrent) watched.readAt = performance.now() + POLL_MS
      this.#apply(watched, opened)
    } catch {
      if (watched.expiresAt <= Date.now()) this.#end(watched, 'expired')
      watched.readAt = performance.now() + (RETRY_MS * (1 + Math.random())) / 2
    }
    watched.isReading = false
    if (watched.changes !== changes && this.#byId.get(id) === watched) void this.#read(watched)
  }

  #apply(watched: Watched, opened: DecodedRecord | UnusableReason): void {
    const now = Date.now()
    if (typeof opened !== 'string') this.#notifyOfChange(watched, opened.session, now)
    // The key may be gone: its time was up.
    else if (watched.expiresAt <= now) this.#end(watched, 'expired')
    else if (opened === 'not_known') watched.readAt = performance.now() + RETRY_MS
    else if (opened !== 'login_needed') this.#end(watched, opened)
  }

  #notifyOfChange(watched: Watched, session: Session, now: number): void {
    const idleExpiry = this.#deps.lifetimes.idleExpiryOf(session, now) ?? session.expiresAt
    watched.endsAt = Math.max(now + TICK_MS, Math.min(idleExpiry, session.expiresAt))
    const state = fingerprintOf(session)
    for (const subscription of watched.subscriptions) {
      if (subscription.known === state) continue
      subscription.known = state
      this.#call(subscription, { session })
    }
  }

  #end(watched: Watched, reason: SessionEndReason): void {
    if (this.#byId.get(watched.id) !== watched) return
    this.#remove(watched)
    for (const subscription of watched.subscriptions) this.#call(subscription, { ended: reason })
  }

  #call({ listener }: Subscription, event: SessionEvent): void {
    try {
      listener(event)
    } catch (error) {
      this.#deps.log.error({ cause: redactError(error).message }, 'A listener of app.sessions.watch() threw')
    }
  }
}

/** The fields of a session that may change. */
function fingerprintOf({ user, data, lastSeenAt }: Session): string {
  return JSON.stringify([user, data, lastSeenAt])
}

function warnOfRefusal(code: string): void {
  warn(
    'FST_JWT_SESSION_EVENTS_UNAVAILABLE',
    `Ends of sessions are noticed late: Redis does not allow tracking of its keys (${code}). ` +
      'Watched sessions are read every 5 s.'
  )
}
