import type { Teardown } from '../fixtures/redis/start-redis.js'

/** For the fixtures, in a run that is no tap test: what is to be ended is, in the reverse order, whatever happened. */
export async function withTeardowns<Result>(run: (t: Teardown) => Promise<Result>): Promise<Result> {
  const teardowns: (() => unknown)[] = []
  try {
    return await run({ teardown: (end: () => unknown) => void teardowns.unshift(end) })
  } finally {
    for (const end of teardowns) await end()
  }
}
