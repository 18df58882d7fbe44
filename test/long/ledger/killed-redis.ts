import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { logout, withToken } from '../../fixtures/app.js'
import { startRedis, type Teardown } from '../../fixtures/redis/start-redis.js'
import { until } from '../../fixtures/until.js'
import { startApp } from '../failover/start-app.js'

/** The results of logouts when Redis is killed during the logouts, and restarted from the append-only file. */
export interface KilledRedis {
  acknowledged: number
  acknowledgedBefore: number
  /** Logouts that were answered 503, and retried. */
  refused: number
  /** Acknowledged logouts whose session is live afterwards. */
  cameBack: number
  /** Lost sessions without a logout. */
  lost: number
}

const WORKERS = 50
const PAUSE_MS = 5

/** Logs users out, and kills Redis after half of the logouts. An equal number of users stays logged in. */
export async function runKilledRedis(t: Teardown, logouts: number, fsync: 'always' | 'everysec'): Promise<KilledRedis> {
  const redis = await startRedis(t, { args: ['--appendonly', 'yes', '--appendfsync', fsync] })
  // The disk of a busy machine is slow, and time is not the subject of the run.
  const app = await startApp(t, { redis: { url: redis.socketPath }, storeTimeoutMs: 5_000 })
  const [leaving, staying] = [await open(app, logouts), await open(app, logouts)]
  // The logins must be on disk before the run.
  await until(async () => (await redis.client().info('persistence')).includes('aof_pending_bio_fsync:0'))
  const result = { acknowledged: 0, acknowledgedBefore: 0, refused: 0, cameBack: 0, lost: 0 }
  let isKilled = false

  async function work(tokens: Iterator<string> & Iterable<string>): Promise<void> {
    for (const token of tokens) {
      while (!(await logsOut(app, token))) {
        result.refused++
        await delay(PAUSE_MS)
      }
      result.acknowledged++
      if (!isKilled) result.acknowledgedBefore++
    }
  }

  const left = leaving.values()
  const working = Promise.all(Array.from({ length: WORKERS }, () => work(left)))
  while (result.acknowledged < logouts / 2) await delay(1)
  await redis.kill()
  isKilled = true
  await redis.restart()
  await working
  result.cameBack = (await statusesOf(app, leaving)).filter((status) => status === 200).length
  result.lost = (await statusesOf(app, staying)).filter((status) => status !== 200).length
  return result
}

async function open(app: FastifyInstance, count: number): Promise<string[]> {
  const opened: string[] = []
  while (opened.length < count) {
    const batch = Array.from({ length: Math.min(WORKERS, count - opened.length) }, (_, i) =>
      app.sessions.create({ id: `user-${opened.length + i}` })
    )
    opened.push(...(await Promise.all(batch)).map(({ token }) => token))
  }
  return opened
}

async function logsOut(app: FastifyInstance, token: string): Promise<boolean> {
  const { statusCode } = await app.inject(logout(token))
  if (statusCode !== 204 && statusCode !== 503) throw new Error(`A logout was answered ${statusCode}`)
  return statusCode === 204
}

/** The status of each token. A request that is answered 503 is repeated. */
async function statusesOf(app: FastifyInstance, tokens: string[]): Promise<number[]> {
  const statuses: number[] = []
  for (const token of tokens) {
    let status = 503
    await until(async () => {
      status = (await app.inject(withToken(token))).statusCode
      return status !== 503
    })
    statuses.push(status)
  }
  return statuses
}
