import { setTimeout as delay } from 'node:timers/promises'
import type { FastifyInstance } from 'fastify'
import { until } from '../../fixtures/until.js'
import { createLedger, type Ledger, type Verdict } from './ledger.js'
import type { Setup } from './setup.js'

/** The fault of the master: hanging with open connections, or killed. */
export const FAULTS = ['SIGSTOP', 'SIGKILL'] as const
export type Fault = (typeof FAULTS)[number]

/** A failover, as seen by the servers and a client. Times in ms from the fault. */
export interface Round extends Verdict {
  /** Until the replica was the master. */
  failoverMs: number
  /** Until a login and a request of a user of the master succeeded. */
  backMs: number
  slowestAnswerMs: number
  good: number
  refused: number
  /** Descriptions of broken rules. */
  wrong: string[]
}

export interface RoundOptions {
  fault: Fault
  users: number
  workers: number
  /** Whether the old master comes back under load. */
  heals: boolean
}

/** Writes that were acknowledged earlier before the fault have reached the replica. */
const REPLICATED_AFTER_MS = 1_000
const LONGEST_FAILOVER_S = 60

/** Lets the master fail under a steady load. */
export async function runRound(setup: Setup, app: FastifyInstance, options: RoundOptions): Promise<Round> {
  const users = await setup.users(options.users)
  let faultAt = Number.POSITIVE_INFINITY
  let failedOverAt = Number.POSITIVE_INFINITY
  // Between both times the old master may have acknowledged writes.
  const isSafe = (at: number) => at < faultAt - REPLICATED_AFTER_MS || at > failedOverAt
  const ledger = createLedger(app, isSafe)
  const load = new AbortController()
  const work = Promise.all(Array.from({ length: options.workers }, () => ledger.work(users, load.signal)))

  await delay(1.5 * REPLICATED_AFTER_MS)
  faultAt = performance.now()
  if (options.fault === 'SIGSTOP') setup.master.stall()
  else await setup.master.kill()
  const [failedOver, back] = await Promise.all([setup.untilFailedOver(), untilBack(ledger, users)])
  failedOverAt = failedOver
  if (options.heals) await setup.heal()
  load.abort()
  await work

  const verdict = await ledger.settle()
  return {
    ...verdict,
    failoverMs: failedOver - faultAt,
    backMs: back - faultAt,
    slowestAnswerMs: ledger.slowestMs,
    good: sum(ledger.answers, [200, 204]),
    refused: sum(ledger.answers, [503]),
    wrong: ledger.wrong
  }
}

async function untilBack(ledger: Ledger, users: string[]): Promise<number> {
  let visits = 0
  await until(() => ledger.visit(users[visits++ % users.length] as string), LONGEST_FAILOVER_S)
  return performance.now()
}

function sum(answers: ReadonlyMap<number, number>, statuses: number[]): number {
  return statuses.reduce((total, status) => total + (answers.get(status) ?? 0), 0)
}
