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
 */
export function createSharedMget(mget: Mget): (first: string, second: string) => Promise<(string | null)[]> {
  let keys: string[] = []
  let waiting: Waiting[] = []
  let isOpen = false

  async function ask(): Promise<void> {
    const [askedKeys, asked] = [keys, waiting]
    keys = []
    waiting = []
    try {
      const values = await mget(...askedKeys)
      for (const [index, { resolve }] of asked.entries()) resolve(values.slice(2 * index, 2 * index + 2))
    } catch (error) {
      for (const { reject } of asked) reject(error)
    }
  }

  function endTurn(): void {
    isOpen = false
    if (waiting.length > 0) void ask()
  }

  return (first, second) =>
    new Promise((resolve, reject) => {
      keys.push(first, second)
      waiting.push({ resolve, reject })
      if (isOpen && waiting.length < MOST_QUESTIONS) return
      void ask()
      if (!isOpen) setImmediate(endTurn)
      isOpen = true
    })
}
