import type { Teardown } from '../fixtures/redis/start-redis.js'

/** Does the work, and then what it has left to do, the last thing first; for the fixtures outside of a test. */
export async function withTeardown<Result>(work: (t: Teardown) => Promise<Result>): Promise<Result> {
  const left: (() => unknown)[] = []
  try {
    return await work({ teardown: (task) => void left.push(task) })
  } finally {
    for (const task of left.reverse()) await task()
  }
}
