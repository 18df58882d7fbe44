import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { until } from '../../fixtures/until.js'
import type { Setup } from './setup.js'

/** Revocations during a planned failover. */
export interface PlannedFailover {
  acknowledged: number
  /** Acknowledged before the replica was the master. */
  acknowledgedBefore: number
  /** Acknowledged revocations whose session is live afterwards. */
  cameBack: number
  /** Refused attempts; each revocation is retried until acknowledged. */
  refused: number
}

const WORKERS = 8
const PAUSE_MS = 20
/** Duration of the revocations, so that the failover comes before the last revocation. */
const SPREAD_MS = 2_000

/** Revokes `count` sessions during a planned failover; each revocation is retried until acknowledged. */
export async function runPlannedFailover(setup: Setup, app: FastifyInstance, count: number): Promise<PlannedFailover> {
  const ids = await openSessions(setup, app, count)
  const result = { acknowledged: 0, acknowledgedBefore: 0, cameBack: 0, refused: 0 }
  let hasFailedOver = false
  const waiting = ids.values()

  async function revoke(id: string): Promise<void> {
    while (!(await succeeds(app.sessions.revoke(id)))) {
      result.refused++
      await delay(PAUSE_MS)
    }
    result.acknowledged++
    if (!hasFailedOver) result.acknowledgedBefore++
  }

  async function work(): Promise<void> {
    for (const id of waiting) {
      await revoke(id)
      if (!hasFailedOver) await delay((SPREAD_MS * WORKERS) / count)
    }
  }

  const working = Promise.all(Array.from({ length: WORKERS }, work))
  await until(() => result.acknowledged >= count / 10)
  await setup.plan()
  hasFailedOver = true
  await Promise.all([setup.heal(), working])
  for (const id of ids) if (await isLive(app, id)) result.cameBack++
  return result
}

async function isLive(app: FastifyInstance, id: string): Promise<boolean> {
  for (;;) {
    try {
      return (await app.sessions.find(id)) !== null
    } catch {
      await delay(PAUSE_MS)
    }
  }
}

/** Opens sessions, and waits until the replica has all sessions. */
async function openSessions(setup: Setup, app: FastifyInstance, count: number): Promise<string[]> {
  const users = await setup.users(Math.ceil(count / 5))
  const ids: string[] = []
  while (ids.length < count) {
    const user = { id: users[ids.length % users.length] as string }
    const opened = await app.sessions.create(user).catch(() => null)
    if (opened !== null) ids.push(opened.session.id)
  }
  const master = setup.master.client()
  await until(async () => (await master.wait(1, 100)) === 1)
  master.disconnect()
  return ids
}

function succeeds(promise: Promise<unknown>): Promise<boolean> {
  return promise.then(
    () => true,
    () => false
  )
}
