import { Child } from '../child.js'
import { type BenchRedis, startRedis } from '../redis.js'
import type { Bench } from './bench.js'

/** A separate Redis with sessions. */
export interface FilledRedis {
  redis: BenchRedis
  bytesPerSession: number
  tokens: string[]
}

/**
 * Starts a Redis and creates sessions, after some first sessions that are not counted. The caller closes the Redis.
 * @param samples number of tokens to return, of sessions at equal distances
 * @param users number of users, who log in in turn
 */
export async function fillRedis(
  { cores }: Bench,
  sessions: number,
  samples: number,
  users = sessions
): Promise<FilledRedis> {
  const redis = await startRedis(cores)
  const args = [redis.socketPath, 'create', String(sessions), String(samples), String(users)]
  const child = new Child({ file: 'fill', args, core: cores?.server })
  await child.next()
  const before = await redis.usedBytes()
  child.send({})
  const tokens = await child.next<string[]>()
  await child.end()
  return { redis, bytesPerSession: ((await redis.usedBytes()) - before) / sessions, tokens }
}

/** The id of a user. All ids are of the same length, because bytes in Redis depend on the length. */
export function filledUser(index: number): string {
  return `filled-${1_000_000 + index}`
}

/** Sends a request of each session, which writes activity. @returns the growth of Redis in bytes per session */
export async function useSessions({ cores }: Bench, { redis, tokens }: FilledRedis): Promise<number> {
  const before = await redis.usedBytes()
  const child = new Child({ file: 'fill', args: [redis.socketPath, 'use'], core: cores?.server })
  child.send(tokens)
  await child.next()
  await child.end()
  return ((await redis.usedBytes()) - before) / tokens.length
}
