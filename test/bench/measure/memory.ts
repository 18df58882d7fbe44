import { toRequest } from '../load/requests.js'
import { startServer } from '../running-server.js'
import type { Bench } from './bench.js'
import { fillRedis, useSessions } from './filled-redis.js'

/** Bytes per session. */
export interface Memory {
  /** In Redis, sessions of one user each, before and after a request whose activity was written. */
  redis: number
  redisUsed: number
  /** In the heap of a process with the cache: sessions after the first request, and after three requests. */
  heap: number
  heapUsed: number
}

const REDIS_SESSIONS = 10_000
/** The cache holds 10,000 sessions; the first sessions warm the process up. */
const WARM_UP_SESSIONS = 1_500
const HEAP_SESSIONS = 8_000

export async function measureMemory(bench: Bench): Promise<Memory> {
  const filled = await fillRedis(bench, REDIS_SESSIONS, REDIS_SESSIONS)
  const growth = await useSessions(bench, filled)
  await filled.redis.close()
  const { heap, heapUsed } = await measureHeap(bench)
  bench.report(`${Math.round(heap)} bytes of heap per cached session`)
  const { bytesPerSession } = filled
  return { redis: bytesPerSession, redisUsed: bytesPerSession + growth, heap, heapUsed }
}

async function measureHeap(bench: Bench): Promise<Pick<Memory, 'heap' | 'heapUsed'>> {
  const sessions = WARM_UP_SESSIONS + HEAP_SESSIONS
  const { redis, tokens } = await fillRedis(bench, sessions, sessions)
  const server = await startServer('plugin-cache', { ...bench, redis, core: bench.cores?.server })
  if ('notAvailable' in server) throw new Error(server.notAvailable)
  try {
    const requests = tokens.map((token) => toRequest('GET', '/me', { authorization: `Bearer ${token}` }))
    const measured = requests.slice(WARM_UP_SESSIONS)
    const send = (sent: string[]) => bench.generator.run({ port: server.port, requests: sent })
    for (let pass = 0; pass < 3; pass++) await send(requests.slice(0, WARM_UP_SESSIONS))
    const before = await server.heapBytes()
    await send(measured)
    const after = await server.heapBytes()
    for (let pass = 0; pass < 2; pass++) await send(measured)
    const afterUse = await server.heapBytes()
    return { heap: (after - before) / measured.length, heapUsed: (afterUse - before) / measured.length }
  } finally {
    await server.end()
    await redis.close()
  }
}
