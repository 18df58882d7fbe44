/** Runs work for each key one piece after the other, in the order in which it came. */
export type InTurn = <T>(key: string, work: () => Promise<T>) => Promise<T>

/** For work that gets in its own way: of as much as is done at once, all but one piece would have to begin again. */
export function createTurns(): InTurn {
  const last = new Map<string, Promise<unknown>>()

  return async (key, work) => {
    const turn = last.get(key)?.then(work, work) ?? work()
    last.set(key, turn)
    try {
      return (await turn) as Awaited<ReturnType<typeof work>>
    } finally {
      if (last.get(key) === turn) last.delete(key)
    }
  }
}
