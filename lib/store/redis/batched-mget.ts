import { UnexpectedReplyError } from '../check-reply.js'
import type { RedisClient } from './client.js'

type Mget = RedisClient['mget']
/** Both values of one read. */
type Pair = [first: string | null, second: string | null]

interface Waiting {
  keys: [first: string, second: string]
  resolve(values: Pair): void
  reject(error: unknown): void
}

// Redis serves no other client meanwhile.
const MAX_READS = 100

/**
 * Reads two keys at a time. The first read of a turn of the event loop is sent at once; those that follow in the same
 * turn share one command: what a command costs, in this process and in Redis, is most of what a verification costs.
 * Not where the keys of a command must share a slot, which a client of one server can meet too: a Cluster behind one
 * address.
 */
export function createBatchedMget(mget: Mget): (first: string, second: string) => Promise<Pair> {
  let waiting: Waiting[] = []
  let isOpen = false
  let canShare = true

  async function send(): Promise<void> {
    const sent = waiting
    waiting = []
    try {
      const values = checkValues(await mget(...sent.flatMap(({ keys }) => keys)), 2 * sent.length)
      for (const [index, { resolve }] of sent.entries()) resolve(pairAt(values, 2 * index))
    } catch (error) {
      canShare &&= !isOfManySlots(error)
      for (const { keys, resolve, reject } of sent) {
        if (canShare) reject(error)
        else readPair(mget, ...keys).then(resolve, reject)
      }
    }
  }

  function endTurn(): void {
    isOpen = false
    if (waiting.length > 0) void send()
  }

  return (first, second) => {
    if (!canShare) return readPair(mget, first, second)
    return new Promise((resolve, reject) => {
      waiting.push({ keys: [first, second], resolve, reject })
      if (isOpen && waiting.length < MAX_READS) return
      void send()
      if (!isOpen) setImmediate(endTurn)
      isOpen = true
    })
  }
}

/** Reads two keys with a command of their own. */
export async function readPair(mget: Mget, first: string, second: string): Promise<Pair> {
  return pairAt(checkValues(await mget(first, second), 2), 0)
}

function pairAt(values: (string | null)[], index: number): Pair {
  return [values[index] ?? null, values[index + 1] ?? null]
}

/** A reply inside a MULTI of other code is `QUEUED`, and must not be taken for sessions that are not there. */
function checkValues(values: unknown, count: number): (string | null)[] {
  const isReply = Array.isArray(values) && values.length === count
  if (isReply && values.every((value) => value === null || typeof value === 'string')) return values
  throw new UnexpectedReplyError('A reply that is not of MGET')
}

function isOfManySlots(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('CROSSSLOT ')
}
