import { setTimeout as delay } from 'node:timers/promises'
import { withDeadline } from '../internal/deadline.js'
import { splitSessionId } from '../model/session-id.js'
import { checkEnded } from './check-reply.js'
import type { EndReason, SessionStore } from './session-store.js'

/** How abandoned sessions are ended. */
export interface EndAbandonedConfig {
  /** Milliseconds for each call of the store. */
  timeoutMs: number
  /** Names the server of a user's sessions. Each server has a queue of its own. Default: one server. */
  partitionOf?: ((tag: string) => string) | undefined
  /** Called with the first session that is dropped because there are too many, after a time in which there were not. */
  onOverflow?(): void
  /** Milliseconds between two rounds. Default: 1,000. */
  pauseMs?: number
}

/** Ends sessions that must not stay open, see {@link createEndAbandoned}. */
export interface EndAbandoned {
  /** Ends the session until the store has acknowledged it or `until` (epoch milliseconds) has passed. */
  endLater(id: string, reason: EndReason, until: number): void
  /** Forgets all sessions that have not been ended, and takes no more. */
  close(): void
}

interface Abandoned {
  id: string
  reason: EndReason
  until: number
}

const PAUSE_MS = 1_000
/** Calls of one server at the same time. */
const MAX_AT_ONCE = 50
/** Sessions of one server that wait to be ended: some 10 MB. With more, sessions that were tried before the others are dropped. */
const MAX_QUEUED = 50_000

/**
 * Ends sessions in the background: sessions whose opening was not acknowledged, of which no client has a token, or whose
 * end was not acknowledged. The store may be away just now, so it is called again and again, in rounds: all sessions of
 * a round side by side, one pause between two rounds, and a server that does not respond holds up its own sessions only.
 * Neither a timer nor a rejection of the store holds up or ends the process.
 */
export function createEndAbandoned(store: Pick<SessionStore, 'end'>, config: EndAbandonedConfig): EndAbandoned {
  const { partitionOf = () => '', onOverflow, timeoutMs, pauseMs = PAUSE_MS } = config
  const queues = new Map<string, Map<string, Abandoned>>()
  let hasOverflowed = false
  let isClosed = false

  function add(abandoned: Abandoned): void {
    if (isClosed) return
    const partition = partitionOf(splitSessionId(abandoned.id)[0])
    const known = queues.get(partition)
    const queue = known ?? new Map<string, Abandoned>()
    // Behind the others.
    queue.delete(abandoned.id)
    if (queue.size >= MAX_QUEUED) dropFirst(queue)
    queue.set(abandoned.id, abandoned)
    if (known !== undefined) return
    queues.set(partition, queue)
    void work(partition, queue)
  }

  function dropFirst(queue: Map<string, Abandoned>): void {
    const [id = ''] = queue.keys()
    queue.delete(id)
    if (!hasOverflowed) onOverflow?.()
    hasOverflowed = true
  }

  async function work(partition: string, queue: Map<string, Abandoned>): Promise<void> {
    while (queue.size > 0) {
      const isDone = await runRound(queue)
      if (!isDone) await delay(pauseMs, undefined, { ref: false })
    }
    hasOverflowed = false
    queues.delete(partition)
  }

  /** Resolves to whether every session of the round has been ended. */
  async function runRound(queue: Map<string, Abandoned>): Promise<boolean> {
    const round = [...queue.values()]
    let isDone = true
    for (let i = 0; i < round.length; i += MAX_AT_ONCE) {
      const results = await Promise.all(round.slice(i, i + MAX_AT_ONCE).map((abandoned) => tryToEnd(abandoned, queue)))
      isDone &&= results.every(Boolean)
      // The server does not respond. What has failed stands behind the others, which come first in the next round.
      if (!results.some(Boolean)) return false
    }
    return isDone
  }

  /** Resolves to whether the session need not be tried again. */
  async function tryToEnd(abandoned: Abandoned, queue: Map<string, Abandoned>): Promise<boolean> {
    const { id, reason, until } = abandoned
    // It was dropped, or is to be ended once more, for what has happened since the round began.
    const isQueued = () => queue.get(id) === abandoned
    if (!isQueued()) return true
    const isEnded = until <= Date.now() || (await end(id, reason))
    if (!isQueued()) return isEnded
    queue.delete(id)
    // Of another server, when the sessions of the user have moved.
    if (!isEnded) add(abandoned)
    return isEnded
  }

  async function end(id: string, reason: EndReason): Promise<boolean> {
    try {
      checkEnded(await withDeadline(Promise.resolve(store.end(id, reason)), timeoutMs, { ref: false }))
      return true
    } catch {
      return false
    }
  }

  return {
    endLater: (id, reason, until) => add({ id, reason, until }),
    close() {
      isClosed = true
      for (const queue of queues.values()) queue.clear()
      queues.clear()
    }
  }
}
