import { publishBreaker } from '../diagnostics/breaker.js'
import { StoreUnavailableError } from '../errors.js'
import { Breakers } from '../internal/breakers.js'
import {
  type Breaker,
  type BreakerLimits,
  type Circuit,
  logBreaker,
  type Outcome,
  type SettleCall
} from '../internal/circuit-breaker.js'
import { createTimeoutError, isTimeout } from '../internal/deadline.js'
import { isRedisReply } from '../internal/redact-error.js'
import { TimeBudget } from '../internal/time-budget.js'
import { sessionTag } from '../model/session-id.js'
import { isUnexpectedReply } from './check-reply.js'
import { type CallKind, LocalDowntime } from './local-downtime.js'
import type { Downtime } from './session-store.js'

/** How calls of the store are guarded. */
export interface CallConfig {
  /** Milliseconds of a full {@link TimeBudget}. */
  timeoutMs: number
  breaker: BreakerLimits
  /** The name of the server that holds a user's sessions. Each server has a circuit breaker. Default: one server. */
  partitionOf?: (tag: string) => string
  /**
   * Milliseconds of the idle timeout, for the downtime that is measured by failed calls. Null: downtime is not used.
   */
  idleMs?: number | null
  log: { error(text: string): void; info(text: string): void }
}

/** A call of the store. */
export interface StoreCall<Reply> {
  kind: CallKind
  /** A session id, or the tag of a user. */
  id: string
  /** Default: a full budget. */
  budget: TimeBudget | undefined
  run(): Promise<unknown>
  /** @throws {UnexpectedReplyError} a reply that the contract does not define */
  check(reply: unknown): Reply
}

/**
 * Calls the store within a time budget, through a circuit breaker for each server, and measures downtime by failed
 * calls.
 */
export class CallGuard {
  readonly #config: CallConfig
  readonly #breakers: Breakers
  readonly #downtime: LocalDowntime

  constructor(config: CallConfig) {
    this.#config = config
    this.#breakers = new Breakers({
      limits: config.breaker,
      onChange: (name, isOpen) => logBreaker(config.log, titleOf(name))(isOpen),
      onAnyChange: (isOpen) => publishBreaker('store', isOpen)
    })
    this.#downtime = new LocalDowntime(config.idleMs ?? 0)
  }

  /** The circuits of all servers. */
  get circuit(): Circuit {
    return this.#breakers
  }

  /** The periods in which calls failed; see {@link LocalDowntime}. */
  get downtime(): readonly Downtime[] {
    return this.#downtime.periods
  }

  /**
   * @throws {StoreUnavailableError} any failure: late, rejected by the circuit breaker, or a reply outside the contract
   */
  async call<Reply>({ kind, id, budget, run, check }: StoreCall<Reply>): Promise<Reply> {
    const { timeoutMs } = this.#config
    const spent = budget ?? new TimeBudget(timeoutMs)
    const startedAt = Date.now()
    const { leftMs } = spent
    let settle: SettleCall | undefined
    try {
      // Before the circuit breaker: a call that does not start must not be its probe.
      if (leftMs === 0) throw createTimeoutError()
      settle = this.#breakerOf(id).admit()
      const reply = check(await spent.spend(run))
      settle('response')
      this.#downtime.onSuccess(kind, kind === 'write' && (reply === 'created' || reply === true))
      return reply
    } catch (error) {
      settle?.(outcomeOf(error, leftMs < timeoutMs))
      this.#downtime.onFailure(kind, startedAt)
      throw new StoreUnavailableError(error)
    }
  }

  #breakerOf(id: string): Breaker {
    const { partitionOf } = this.#config
    return this.#breakers.of(partitionOf === undefined ? '' : partitionOf(sessionTag(id)))
  }
}

function titleOf(partition: string): string {
  return partition === '' ? 'session store' : `session store at ${partition}`
}

/**
 * An error reply of Redis is a response: other calls may succeed. A reply outside the contract is a response too.
 *
 * @param isShortened the call had less than a full budget: a timeout does not show that the store is down
 */
function outcomeOf(error: unknown, isShortened: boolean): Outcome {
  if (isShortened && isTimeout(error)) return 'abandoned'
  return isRedisReply(error) || isUnexpectedReply(error) ? 'response' : 'failure'
}
