import { Child } from '../child.js'
import { type BenchRedis, startRedis } from '../redis.js'
import type { Bench } from './bench.js'

/** A separate Redis with sessions, one per user. */
export interface FilledRedis {
  redis: BenchRedis
  bytesPerSession: number
  /** Bytes after a request of each session whose activity was written, or null without such requests. */
  usedBytesPerSession: number | null
  tokens: string[]
}

export interface Filling {
  sessions: number
  /** Number of tokens to return. */
  samples: number
  /** Whether each session has a request. */
  used?: boolean
}

/** Starts a Redis and creates sessions. The caller closes the Redis. */
export async function fillRedis(bench: Bench, { sessions, samples, used = false }: Filling): Promise<FilledRedis> {
  const redis = await startRedis(bench.cores)
  const before = await redis.usedBytes()
  const args = [redis.socketPath, String(sessions), String(samples), ...(used ? ['used'] : [])]
  const child = new Child({ file: 'fill', args, core: bench.cores?.server })
  const bytes: number[] = []
  let tokens: string[] = []
  for (let report = 0; report < (used ? 2 : 1); report++) {
    tokens = await child.next<string[]>()
    bytes.push(((await redis.usedBytes()) - before) / sessions)
    child.send({})
  }
  await child.end()
  const [bytesPerSession = Number.NaN, usedBytesPerSession = null] = bytes
  return { redis, bytesPerSession, usedBytesPerSession, tokens }
}
