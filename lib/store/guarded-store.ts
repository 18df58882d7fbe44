import type { Circuit } from '../internal/circuit-breaker.js'
import { startWork, withDeadline } from '../internal/deadline.js'
import { TimeBudget } from '../internal/time-budget.js'
import * as check from './check-reply.js'
import { AbandonedSessions } from './end-abandoned.js'
import { type CallConfig, CallGuard } from './guarded-call.js'
import type {
  CreateOptions,
  CreateResult,
  Downtime,
  EndReason,
  FoundRecord,
  SessionStore,
  StoredSession
} from './session-store.js'
import { callStore } from './wait-until-ready.js'

/**
 * The store for sessions, guard and cache. Each call settles within its budget and is rejected at once while the server
 * of the user's sessions does not respond. Every failure is a {@link StoreUnavailableError}, also a reply that the
 * contract does not define.
 */
export interface GuardedStore {
  /** A budget of `storeTimeoutMs`. Each call without a budget gets a full budget. */
  newBudget(): TimeBudget
  /** A failed call may have opened the session: then the session is ended in the background. */
  create(
    id: string,
    record: string,
    options: Omit<CreateOptions, 'notAfter'>,
    budget?: TimeBudget
  ): Promise<CreateResult>
  find(id: string, budget?: TimeBudget): Promise<FoundRecord | null>
  replace(id: string, record: string, next: string, budget?: TimeBudget): Promise<boolean>
  end(id: string, reason: EndReason, budget?: TimeBudget): Promise<{ record: string } | null>
  endAll(tag: string, reason: 'revoked', exceptId: string | null, budget?: TimeBudget): Promise<void>
  list(tag: string, budget?: TimeBudget): Promise<StoredSession[]>
  /** Only for a store with `readTokens()`. */
  readTokens(id: string, budget?: TimeBudget): Promise<string | null>
  /** Only for a store with `writeTokens()`. */
  writeTokens(id: string, tokens: string, previous: string | null, budget?: TimeBudget): Promise<boolean>
  /** Ends a session in the background: repeated until the store acknowledges the end, or until `until` (epoch ms). */
  endLater(id: string, reason: EndReason, until: number): void
  /** Whether most users can be served. Bypasses the circuit breaker. Never rejects. */
  isReady(): Promise<boolean>
  /** See {@link DowntimeWatch.of}. */
  downtimeOf(tag: string, now: number): readonly Downtime[] | null
  /** The circuits of all servers of the store, for statistics. */
  readonly circuit: Circuit
  track?: SessionStore['track']
}

/** A {@link GuardedStore} that can be closed. */
export interface OpenedGuardedStore extends GuardedStore {
  /** Stops the work in the background. The sessions still in the queues stay open until their expiry. */
  close(): void
}

/**
 * How a store is guarded. `timeoutMs` is also the time for {@link GuardedStore.isReady} and for calls in the
 * background.
 */
export interface GuardedStoreConfig extends CallConfig {
  /** Resolves to whether most users can be served. Default: `find()` of a random id succeeds. */
  isReady?: () => Promise<boolean>
  /** Whether a `create()` that rejected with this error has opened no session and never will. Default: unknown. */
  isRefused?: (error: unknown) => boolean
  /** The downtime that the store measures. Default: measured by the calls that fail. */
  downtimeOf?: GuardedStore['downtimeOf']
  /** The same sessions without waiting for replicas, to end abandoned sessions. Default: the store. */
  plainStore?: Pick<SessionStore, 'end'>
  /** Whether `create()` of an application's store may ignore `tokens`, which are then stored by a second call. */
  mayIgnoreTokens?: boolean
}

/** Guards a store, see {@link GuardedStore}. */
export function createGuardedStore(store: SessionStore, config: GuardedStoreConfig): OpenedGuardedStore {
  return new GuardedSessions(store, config)
}

class GuardedSessions implements OpenedGuardedStore {
  // Declared only: a store without the method must not seem to have it.
  declare readonly track?: NonNullable<SessionStore['track']>
  readonly #store: SessionStore
  readonly #config: GuardedStoreConfig
  readonly #guard: CallGuard
  readonly #abandoned: AbandonedSessions

  constructor(store: SessionStore, config: GuardedStoreConfig) {
    const { timeoutMs, partitionOf, plainStore = store, log } = config
    if (store.track !== undefined) this.track = store.track.bind(store)
    this.#store = store
    this.#config = config
    this.#guard = new CallGuard(config)
    this.#abandoned = new AbandonedSessions(plainStore, {
      timeoutMs,
      partitionOf,
      onOverflow: () => log.error('Too many sessions wait to be ended: some of the sessions stay until they expire')
    })
  }

  get circuit(): Circuit {
    return this.#guard.circuit
  }

  newBudget(): TimeBudget {
    return new TimeBudget(this.#config.timeoutMs)
  }

  create(
    id: string,
    record: string,
    options: Omit<CreateOptions, 'notAfter'>,
    budget = this.newBudget()
  ): Promise<CreateResult> {
    let mayHappen = false
    let creation: Promise<unknown> | undefined
    const run = () => {
      mayHappen = true
      const notAfter = notAfterOf(budget.leftMs)
      creation = startWork(() => this.#store.create(id, record, { notAfter, ...options }))
      creation.catch((error) => {
        mayHappen = !this.#config.isRefused?.(error)
      })
      return creation
    }
    const created = this.#guard.call({ kind: 'write', id, budget, run, check: check.checkCreated })
    const { tokens } = options
    const stored =
      tokens !== undefined && this.#config.mayIgnoreTokens
        ? created.then((result) => this.#storeTokens(id, tokens, { result, budget }))
        : created
    stored.catch(() => {
      const endAbandoned = () => this.endLater(id, 'revoked', options.expiresAt)
      if (mayHappen) endAbandoned()
      // Some stores forget the reason of an end that arrives before the opening.
      void creation?.then((reply) => reply === 'created' && endAbandoned(), ignore)
    })
    return stored
  }

  find(id: string, budget?: TimeBudget): Promise<FoundRecord | null> {
    return this.#guard.call({ kind: 'read', id, budget, run: () => this.#store.find(id), check: check.checkFound })
  }

  replace(id: string, record: string, next: string, budget?: TimeBudget): Promise<boolean> {
    const run = () => this.#store.replace(id, record, next)
    return this.#guard.call({ kind: 'write', id, budget, run, check: check.checkReplaced })
  }

  end(id: string, reason: EndReason, budget?: TimeBudget): Promise<{ record: string } | null> {
    return this.#guard.call({
      kind: 'end',
      id,
      budget,
      run: () => this.#store.end(id, reason),
      check: check.checkEnded
    })
  }

  endAll(tag: string, reason: 'revoked', exceptId: string | null, budget?: TimeBudget): Promise<void> {
    const run = () => this.#store.endAll(tag, reason, exceptId)
    return this.#guard.call({ kind: 'end', id: tag, budget, run, check: check.checkAllEnded })
  }

  list(tag: string, budget?: TimeBudget): Promise<StoredSession[]> {
    const checkList = (reply: unknown) => check.checkList(reply, tag)
    return this.#guard.call({ kind: 'read', id: tag, budget, run: () => this.#store.list(tag), check: checkList })
  }

  readTokens(id: string, budget?: TimeBudget): Promise<string | null> {
    const run = async () => this.#store.readTokens?.(id)
    return this.#guard.call({ kind: 'read', id, budget, run, check: check.checkTokens })
  }

  writeTokens(id: string, tokens: string, previous: string | null, budget?: TimeBudget): Promise<boolean> {
    const run = async () => this.#store.writeTokens?.(id, tokens, previous)
    return this.#guard.call({ kind: 'write', id, budget, run, check: check.checkReplaced })
  }

  endLater(id: string, reason: EndReason, until: number): void {
    this.#abandoned.endLater(id, reason, until)
  }

  async isReady(): Promise<boolean> {
    const { isReady = () => this.#canFind(), timeoutMs } = this.#config
    try {
      return (await withDeadline(Promise.resolve(isReady()), timeoutMs)) === true
    } catch {
      return false
    }
  }

  downtimeOf(tag: string, now: number): readonly Downtime[] | null {
    return this.#config.downtimeOf === undefined ? this.#guard.downtime : this.#config.downtimeOf(tag, now)
  }

  close(): void {
    this.#abandoned.close()
  }

  /** Stores the tokens that `create()` may have ignored. `writeTokens()` is false when `create()` has stored them. */
  async #storeTokens(
    id: string,
    tokens: string,
    { result, budget }: { result: CreateResult; budget: TimeBudget }
  ): Promise<CreateResult> {
    if (result === 'created') await this.writeTokens(id, tokens, null, budget)
    return result
  }

  async #canFind(): Promise<boolean> {
    await callStore(this.#store)
    return true
  }
}

const LONGEST_REPLY_MS = 50

/**
 * Epoch milliseconds before the deadline, so that the reply of a call that has taken effect can still arrive in time.
 */
function notAfterOf(leftMs: number): number {
  return Math.floor(Date.now() + leftMs - Math.min(LONGEST_REPLY_MS, leftMs / 4))
}

function ignore(): void {}
