import { setTimeout as delay } from 'node:timers/promises'
import { withDeadline } from '../internal/deadline.js'
import { sessionTag } from '../model/session-id.js'
import { checkEnded } from './check-reply.js'
import type { EndReason, SessionStore } from './session-store.js'

/** How abandoned sessions are ended. */
export interface AbandonedConfig {
  /** Milliseconds for each call of the store. */
  timeoutMs: number
  /** The name of the server that holds a user's sessions. Each server has a queue. Default: one server. */
  partitionOf?: ((tag: string) => string) | undefined
  /** Called when the first session is dropped because a queue is full; again after the queue was empty. */
  onOverflow?(): void
  /** Milliseconds between two rounds. Default: 1,000. */
  pauseMs?: number
}

interface Abandoned {
  id: string
  reason: EndReason
  until: number
}

const PAUSE_MS = 1_000
/** Concurrent calls to one server. */
const MAX_AT_ONCE = 50
/** Sessions in the queue of one server, about 10 MB. A full queue drops the session that was tried first. */
const MAX_QUEUED = 50_000

/**
 * Ends sessions in the background: sessions whose opening was not acknowledged, so that no client has a token, and
 * sessions whose end was not acknowledged. The store may be down, so the calls are repeated in rounds: all sessions of
 * a round concurrently, and a pause after a round with failures. A server that does not respond delays its own sessions
 * only. Neither a timer nor a rejection of the store keeps the process alive or ends the process.
 */
export class AbandonedSessions {
  readonly #store: Pick<SessionStore, 'end'>
  readonly #config: AbandonedConfig
  /** By partition, then by session id. */
  readonly #queues = new Map<string, Map<string, Abandoned>>()
  #hasOverflowed = false
  #isClosed = false

  constructor(store: Pick<SessionStore, 'end'>, config: AbandonedConfig) {
    this.#store = store
    this.#config = config
  }

  /** Ends the session: repeats the call until the store acknowledges the end, or until `until` (epoch milliseconds). */
  endLater(id: string, reason: EndReason, until: number): void {
    this.#add({ id, reason, until })
  }

  /** Forgets all sessions in the queues, and accepts no more. */
  close(): void {
    this.#isClosed = true
    for (const queue of this.#queues.values()) queue.clear()
  }

  #add(abandoned: Abandoned): void {
    if (this.#isClosed) return
    const partition = this.#config.partitionOf?.(sessionTag(abandoned.id)) ?? ''
    const known = this.#queues.get(partition)
    const queue = known ?? new Map<string, Abandoned>()
    // Deleted first, so that the session goes to the end of the queue.
    queue.delete(abandoned.id)
    if (queue.size >= MAX_QUEUED) this.#dropFirst(queue)
    queue.set(abandoned.id, abandoned)
    if (known !== undefined) return
    this.#queues.set(partition, queue)
    void this.#work(partition, queue)
  }

  #dropFirst(queue: Map<string, Abandoned>): void {
    const [id = ''] = queue.keys()
    queue.delete(id)
    if (!this.#hasOverflowed) this.#config.onOverflow?.()
    this.#hasOverflowed = true
  }

  async #work(partition: string, queue: Map<string, Abandoned>): Promise<void> {
    while (queue.size > 0) {
      const isDone = await this.#runRound(queue)
      if (!isDone) await delay(this.#config.pauseMs ?? PAUSE_MS, undefined, { ref: false })
    }
    this.#hasOverflowed = false
    this.#queues.delete(partition)
  }

  /** Resolves to whether every session of the round has ended. */
  async #runRound(queue: Map<string, Abandoned>): Promise<boolean> {
    const round = [...queue.values()]
    let isDone = true
    for (let i = 0; i < round.length; i += MAX_AT_ONCE) {
      const calls = round.slice(i, i + MAX_AT_ONCE).map((abandoned) => this.#tryToEnd(abandoned, queue))
      const results = await Promise.all(calls)
      isDone &&= results.every(Boolean)
      // The server does not respond. The failed sessions are at the end of the queue; the others come first next time.
      if (!results.some(Boolean)) return false
    }
    return isDone
  }

  /** Resolves to false when the session must be tried again. */
  async #tryToEnd(abandoned: Abandoned, queue: Map<string, Abandoned>): Promise<boolean> {
    const { id, reason, until } = abandoned
    // False when the session was dropped, or was added again since the round began.
    const isQueued = () => queue.get(id) === abandoned
    if (!isQueued()) return true
    const isEnded = until <= Date.now() || (await this.#end(id, reason))
    if (!isQueued()) return isEnded
    queue.delete(id)
    // Perhaps to another queue, when the user's sessions have moved to another server.
    if (!isEnded) this.#add(abandoned)
    return isEnded
  }

  async #end(id: string, reason: EndReason): Promise<boolean> {
    try {
      const ending = Promise.resolve(this.#store.end(id, reason))
      checkEnded(await withDeadline(ending, this.#config.timeoutMs, { ref: false }))
      return true
    } catch {
      return false
    }
  }
}
