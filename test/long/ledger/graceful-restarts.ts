import type { AddressInfo } from 'node:net'
import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { Pool } from 'undici'
import { type StartedRedis, startRedis, type Teardown } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import { startApp } from '../failover/start-app.js'

/** The replies to a client during graceful restarts of the app and Redis. */
export interface GracefulRestarts {
  logins: number
  /** Logins that were answered 503, and retried. */
  refused: number
  /** Logins without a reply: whether a session exists is unknown. */
  cut: number
  appRestarts: number
  redisRestarts: number
  /** Acknowledged logins whose token is not valid afterwards. */
  lost: number
}

interface Instance {
  app: FastifyInstance
  pool: Pool
}

const WORKERS = 32
const PAUSE_MS = 5

/** Logs users in while each app is replaced and closed under load, and Redis is shut down once. */
export async function runGracefulRestarts(t: Teardown, logins: number, appRestarts: number): Promise<GracefulRestarts> {
  const redis = await startRedis(t, { args: ['--appendonly', 'yes'] })
  const tokens: string[] = []
  const result = { logins, refused: 0, cut: 0, appRestarts, redisRestarts: 1, lost: 0 }
  let current = await start(t, redis)

  async function work(): Promise<void> {
    while (tokens.length < logins) {
      const answer = await logIn(current.pool, `user-${tokens.length}`).catch(() => null)
      if (answer === null) result.cut++
      else if (answer.status === 200) tokens.push(answer.token)
      else {
        if (answer.status !== 503) throw new Error(`A login was answered ${answer.status}`)
        result.refused++
        await delay(PAUSE_MS)
      }
    }
  }

  async function restart(): Promise<void> {
    const [old, next] = [current, await start(t, redis)]
    current = next
    // As a load balancer would: the old app gets no new requests. Otherwise a connection in use stays open for 72 s.
    await Promise.all([old.app.close(), old.pool.close()])
  }

  const working = Promise.all(Array.from({ length: WORKERS }, work))
  for (let i = 1; i <= appRestarts; i++) {
    await reaches(() => tokens.length, (i * logins) / (appRestarts + 2))
    await restart()
  }
  await reaches(() => tokens.length, ((appRestarts + 1) * logins) / (appRestarts + 2))
  await shutDownAndStart(redis)
  await working
  await restart()
  result.lost = await countLost(current.pool, tokens)
  return result
}

async function start(t: Teardown, redis: StartedRedis): Promise<Instance> {
  const app = await startApp(t, { redis: { url: redis.socketPath } })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: WORKERS })
  t.teardown(() => pool.destroy())
  return { app, pool }
}

async function logIn(pool: Pool, username: string): Promise<{ status: number; token: string }> {
  const { statusCode, body } = await pool.request({
    method: 'POST',
    path: '/user/login',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ username, password: 'a password' })
  })
  const { access_token: token } = (await body.json()) as { access_token: string }
  return { status: statusCode, token }
}

/** Waits for a count, without the time limit of `until()`. */
async function reaches(count: () => number, goal: number): Promise<void> {
  while (count() < goal) await delay(PAUSE_MS)
}

async function shutDownAndStart(redis: StartedRedis): Promise<void> {
  const { pid } = redis
  // SHUTDOWN has no reply.
  redis
    .client({ retryStrategy: () => null })
    .shutdown()
    .catch(() => {})
  await until(() => !isRunning(pid))
  await redis.restart()
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

async function countLost(pool: Pool, tokens: string[]): Promise<number> {
  const left = tokens.values()
  let lost = 0

  async function check(): Promise<void> {
    for (const token of left) {
      const { statusCode, body } = await pool.request({
        method: 'GET',
        path: '/me',
        headers: { authorization: `Bearer ${token}` }
      })
      await body.dump()
      if (statusCode !== 200) lost++
    }
  }

  await Promise.all(Array.from({ length: WORKERS }, check))
  return lost
}
