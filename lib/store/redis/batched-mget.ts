import { UnexpectedReplyError } from '../check-reply.js'
import type { RedisClient } from './client.js'

type Mget = RedisClient['mget']
/** The two values of one read. */
type Pair = [first: string | null, second: string | null]

interface Waiting {
  keys: [first: string, second: string]
  resolve(values: Pair): void
  reject(error: unknown): void
}

/** The most reads in one MGET: Redis serves no other client during a command. */
const MAX_READS = 500

/**
 * Reads pairs of keys. The first read in a turn of the event loop is sent at once; all later reads in the turn share
 * one MGET, because commands are most of the cost of a verification, in this process and in Redis. On a Cluster the
 * keys of one command must share a slot. A client of one server may lead to a Cluster too: after its first CROSSSLOT
 * error each read is a command.
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
      canShare &&= !isCrossSlot(error)
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

/** Reads two keys with one MGET. */
export async function readPair(mget: Mget, first: string, second: string): Promise<Pair> {
  return pairAt(await readKeys(mget, [first, second]), 0)
}

/** Reads keys with one MGET. */
export async function readKeys(mget: Mget, keys: readonly string[]): Promise<(string | null)[]> {
  return checkValues(await mget(...keys), keys.length)
}

function pairAt(values: (string | null)[], index: number): Pair {
  return [values[index] ?? null, values[index + 1] ?? null]
}

/** Inside a MULTI of other code the reply is `QUEUED`, which must not be mistaken for missing sessions. */
function checkValues(values: unknown, count: number): (string | null)[] {
  const isReply = Array.isArray(values) && values.length === count
  if (isReply && values.every((value) => value === null || typeof value === 'string')) return values
  throw new UnexpectedReplyError('The reply is not a reply of MGET')
}

function isCrossSlot(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('CROSSSLOT ')
}
