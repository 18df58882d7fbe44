interface Waiting {
  resolve(values: (string | null)[]): void
  reject(error: unknown): void
}

/** The reading command of ioredis. */
type Mget = (...keys: string[]) => Promise<(string | null)[]>

// Redis answers nobody else meanwhile.
const MOST_QUESTIONS = 100

/**
 * Asks for two keys at a time. The first question of a turn of the event loop is sent at once; those that follow in the
 * same turn share one command: what a command costs, in this process and in Redis, is most of what a verification costs.
 * Not where a command must stay in one slot, which a client that is not for a Cluster can meet too: behind one address.
 */
export function createSharedMget(mget: Mget): (first: string, second: string) => Promise<(string | null)[]> {
  let keys: string[] = []
  let waiting: Waiting[] = []
  let isOpen = false
  let canShare = true

  async function ask(): Promise<void> {
    const [askedKeys, asked] = [keys, waiting]
    keys = []
    waiting = []
    try {
      const values = await mget(...askedKeys)
      for (const [index, { resolve }] of asked.entries()) resolve(values.slice(2 * index, 2 * index + 2))
    } catch (error) {
      canShare &&= !isOfManySlots(error)
      for (const [index, { resolve, reject }] of asked.entries()) {
        if (canShare) reject(error)
        else mget(...askedKeys.slice(2 * index, 2 * index + 2)).then(resolve, reject)
      }
    }
  }

  function endTurn(): void {
    isOpen = false
    if (waiting.length > 0) void ask()
  }

  return (first, second) => {
    if (!canShare) return mget(first, second)
    return new Promise((resolve, reject) => {
      keys.push(first, second)
      waiting.push({ resolve, reject })
      if (isOpen && waiting.length < MOST_QUESTIONS) return
      void ask()
      if (!isOpen) setImmediate(endTurn)
      isOpen = true
    })
  }
}

function isOfManySlots(error: unknown): boolean {
  return error instanceof Error && error.message.startsWith('CROSSSLOT ')
}
