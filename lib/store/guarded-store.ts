import { StoreUnavailableError } from '../errors.js'
import { type BreakerLimits, createBreakers, logBreaker, type Outcome } from '../internal/circuit-breaker.js'
import { createTimeoutError, isTimeout, withDeadline } from '../internal/deadline.js'
import { isRedisReply } from '../internal/redact-error.js'
import { TimeBudget } from '../internal/time-budget.js'
import { splitSessionId } from '../model/session-id.js'
import * as check from './check-reply.js'
import { createEndAbandoned } from './end-abandoned.js'
import { type CallKind, LocalDowntime } from './local-downtime.js'
import type {
  CreateOptions,
  CreateResult,
  Downtime,
  EndReason,
  FoundRecord,
  SessionStore,
  StoredSession
} from './session-store.js'
import { askStore } from './wait-until-ready.js'

/**
 * The store as sessions, guard and cache see it: each call settles within its budget, is rejected at once while the
 * server of the user's sessions does not respond, and every failure, a reply that the contract does not know among them,
 * is a {@link StoreUnavailableError}.
 */
export interface GuardedStore {
  /** A budget of `storeTimeoutMs`. A call without a budget has one of its own. */
  newBudget(): TimeBudget
  /** A call that fails may have opened the session all the same: the session is ended in the background. */
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
  /** Ends a session in the background: again and again until the store has acknowledged it or `until` (epoch ms) has passed. */
  endLater(id: string, reason: EndReason, until: number): void
  /** Whether most users can be served. Outside the circuit breaker. Never rejects. */
  isReady(): Promise<boolean>
  /** See `DowntimeWatch.of()`. */
  downtimeOf(tag: string, now: number): readonly Downtime[] | null
  track?: SessionStore['track']
}

/** What a {@link GuardedStore} is made of, besides the store. */
export interface GuardedStoreConfig {
  /** Milliseconds of a {@link TimeBudget}, of {@link GuardedStore.isReady} and of each call in the background. */
  timeoutMs: number
  breaker: BreakerLimits
  /** Names the server that has the user's sessions, for a store of several servers; breaker, cap and probe are per name. */
  partitionOf?: (tag: string) => string
  /** Asks whether most users can be served. Default: `find()` of a random id. */
  isReady?: () => Promise<boolean>
  /** Whether a creation that was rejected with this error has opened nothing and never will. Default: not known. */
  isRefused?: (error: unknown) => boolean
  /** The downtime that the store measures. Default: measured here, by the calls that fail. */
  downtimeOf?: GuardedStore['downtimeOf']
  /** Milliseconds of the idle timeout, for the downtime that is measured here. Null or absent: downtime does not matter. */
  idleMs?: number | null
  /** The same sessions without waiting for replicas: what abandoned sessions are ended through. Default: the store. */
  plainStore?: Pick<SessionStore, 'end'>
  log: { error(text: string): void; info(text: string): void }
}

interface Call<T> {
  kind: CallKind
  /** A session id, or the tag that it begins with. */
  id: string
  budget: TimeBudget | undefined
  run(): Promise<unknown>
  /** @throws the store has replied with something else */
  check(reply: unknown): T
}

/** `close()` stops what runs in the background; sessions that have not been ended by then stay until they expire. */
export function createGuardedStore(store: SessionStore, config: GuardedStoreConfig): GuardedStore & { close(): void } {
  const { timeoutMs, plainStore = store, partitionOf, isRefused = () => false } = config
  const newBudget = () => new TimeBudget(timeoutMs)
  const call = createCaller(config)
  const { endLater, close } = createEndAbandoned(plainStore, {
    timeoutMs,
    partitionOf,
    onOverflow: () => config.log.error('Too many sessions wait to be ended: some of them stay until they expire')
  })

  async function create(
    id: string,
    record: string,
    options: Omit<CreateOptions, 'notAfter'>,
    budget = newBudget()
  ): Promise<CreateResult> {
    let mayHappen = false
    let creation: Promise<unknown> | undefined
    const run = async () => {
      mayHappen = true
      try {
        creation = Promise.resolve(store.create(id, record, { ...options, notAfter: notAfterOf(budget.leftMs) }))
        return await creation
      } catch (error) {
        mayHappen = !isRefused(error)
        throw error
      }
    }
    const endAbandoned = () => endLater(id, 'revoked', options.expiresAt)
    try {
      return await call({ kind: 'write', id, budget, run, check: check.checkCreated })
    } catch (error) {
      if (mayHappen) endAbandoned()
      // Not every store keeps the reason of an end that arrives before the opening.
      void creation?.then((reply) => reply === 'created' && endAbandoned(), ignore)
      throw error
    }
  }

  async function isReady(): Promise<boolean> {
    const askAny = async () => {
      await askStore(store)
      return true
    }
    try {
      return (await withDeadline(Promise.resolve((config.isReady ?? askAny)()), timeoutMs)) === true
    } catch {
      return false
    }
  }

  return {
    newBudget,
    create,
    find: (id, budget) => call({ kind: 'read', id, budget, run: () => store.find(id), check: check.checkFound }),
    replace: (id, record, next, budget) =>
      call({ kind: 'write', id, budget, run: () => store.replace(id, record, next), check: check.checkReplaced }),
    end: (id, reason, budget) =>
      call({ kind: 'end', id, budget, run: () => store.end(id, reason), check: check.checkEnded }),
    endAll: (tag, reason, exceptId, budget) =>
      call({
        kind: 'end',
        id: tag,
        budget,
        run: () => store.endAll(tag, reason, exceptId),
        check: check.checkAllEnded
      }),
    list: (tag, budget) =>
      call({
        kind: 'read',
        id: tag,
        budget,
        run: () => store.list(tag),
        check: (reply) => check.checkList(reply, tag)
      }),
    endLater,
    isReady,
    downtimeOf: call.downtimeOf,
    ...(store.track && { track: store.track.bind(store) }),
    close
  }
}

/** Calls the store within budget and breaker, and measures when it could not be written, unless the store does. */
function createCaller({ timeoutMs, breaker, partitionOf, downtimeOf, idleMs = null, log }: GuardedStoreConfig) {
  const breakerOf = createBreakers({
    limits: breaker,
    onChange: (name, isOpen) => logBreaker(log, titleOf(name))(isOpen)
  })
  const local = new LocalDowntime(idleMs ?? 0)

  async function call<T>({ kind, id, budget = new TimeBudget(timeoutMs), run, check }: Call<T>): Promise<T> {
    const startedAt = Date.now()
    const { leftMs } = budget
    try {
      // Before the breaker: a call that does not start must not be its probe.
      if (leftMs === 0) throw createTimeoutError()
      const partition = partitionOf === undefined ? '' : partitionOf(splitSessionId(id)[0])
      const outcomeOf = leftMs < timeoutMs ? outcomeOfShortened : outcomeOfFull
      const reply = check(await breakerOf(partition).run(() => budget.spend(run), outcomeOf))
      local.onSuccess(kind, kind === 'write' && (reply === 'created' || reply === true))
      return reply
    } catch (error) {
      local.onFailure(kind, startedAt)
      throw new StoreUnavailableError(error)
    }
  }

  return Object.assign(call, { downtimeOf: downtimeOf ?? (() => local.periods) })
}

function titleOf(partition: string): string {
  return partition === '' ? 'session store' : `session store at ${partition}`
}

/** A Redis that refuses has responded: others may still read. So has a store whose reply makes no sense. */
function outcomeOfFull(error: unknown): Outcome {
  return isRedisReply(error) || check.isUnexpectedReply(error) ? 'response' : 'failure'
}

/** A store that was given less time than a full budget may have been slow, and no more than that. */
function outcomeOfShortened(error: unknown): Outcome {
  return isTimeout(error) ? 'abandoned' : outcomeOfFull(error)
}

const LONGEST_REPLY_MS = 50

/** Before the deadline, so that the reply of a call that did something has time to travel. */
function notAfterOf(leftMs: number): number {
  return Math.floor(Date.now() + leftMs - Math.min(LONGEST_REPLY_MS, leftMs / 4))
}

function ignore(): void {}
