import { setTimeout as delay } from 'node:timers/promises'
import { readCounter } from '../../fixtures/count-reads.js'
import { startRedis, type Teardown } from '../../fixtures/redis/start-redis.js'
import { startRespProxy } from '../../fixtures/redis/start-resp-proxy.js'
import type { Watched } from '../../fixtures/watched-fastify.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { findAftermath, findUselessCache } from './aftermath.js'
import { type ClientKind, type Fault, OPERATIONS, type Stage } from './fault.js'
import { allowedDuring, judge } from './judge.js'
import { watchStarvation } from './starvation.js'
import { createSubject, type Subject, type Visit } from './subject.js'

/** Settings of a run of a fault. */
export interface Trial {
  /** Parallel requests of each operation. */
  parallel: number
  /** Duration of the fault in milliseconds, longer than `maxStaleMs`. */
  lastsMs: number
  /** Kinds of clients for faults without `clients`. Default: own. */
  clients?: readonly ClientKind[]
}

/** The results of an app. */
export interface Report {
  subject: Subject
  /** Requests during the fault. */
  visits: Visit[]
  /** Milliseconds from the end of the fault to the right reply for an earlier session. */
  backAfterMs: number
  /** Descriptions of broken rules, without duplicates. */
  broken: string[]
}

const PAUSE_MS = 100
/** Time limit for the service after a fault. */
const TIME_LIMIT_MS = 15_000

/** Runs a fault for each kind of app in parallel, on a separate server. */
export async function runFault(fault: Fault, trial: Trial): Promise<Report[]> {
  return withTeardown(async (t) => {
    const stage = await setStage(t, fault)
    const subjects = await createSubjects(t, { fault, stage, clients: fault.clients ?? trial.clients ?? ['own'] })
    // Once, also after an error: another fault may follow in the process.
    let end = async () => {
      end = async () => {}
      await fault.end?.(stage)
    }
    t.teardown(() => end())
    await fault.start(stage)
    const startedAt = performance.now()
    const parallel = Math.min(trial.parallel, fault.maxParallel ?? trial.parallel)
    const visits = await visitAll(subjects, { ...trial, parallel })
    await end()
    const reports = await Promise.all(
      subjects.map((subject) => conclude(fault, subject, { visits: visits.get(subject) ?? [], startedAt }))
    )
    const countReads = readCounter(stage.operator)
    for (const { subject, broken } of reports) {
      const text = subject.isCached ? await findUselessCache(subject, countReads) : null
      if (text !== null) broken.push(`afterwards ${text}`)
    }
    return reports
  })
}

async function setStage(t: Teardown, { args = [], tcp = false, password }: Fault): Promise<Stage> {
  const requirepass = password === undefined ? [] : ['--requirepass', password]
  const redis = await startRedis(t, { args: [...args, ...requirepass], tcp })
  const operator = redis.client(password === undefined ? {} : { password })
  await operator.ping()
  return { redis, operator, proxy: await startRespProxy(t, redis) }
}

interface Cast {
  fault: Fault
  stage: Stage
  clients: readonly ClientKind[]
}

async function createSubjects(t: Watched, { fault, stage, clients }: Cast): Promise<Subject[]> {
  const subjects: Subject[] = []
  for (const client of clients) {
    for (const isCached of [false, true]) subjects.push(await createSubject(t, { fault, stage, client, isCached }))
  }
  return subjects
}

/** Sends requests in rounds, with a last round after `lastsMs`. */
async function visitAll(subjects: Subject[], { parallel, lastsMs }: Trial): Promise<Map<Subject, Visit[]>> {
  const visits = new Map(subjects.map((subject): [Subject, Visit[]] => [subject, []]))
  const startedAt = performance.now()
  for (let mark = 1, isLast = false; !isLast; mark++) {
    isLast = performance.now() - startedAt > lastsMs
    const round = subjects.flatMap((subject) =>
      OPERATIONS.flatMap((operation) =>
        Array.from({ length: parallel }, async () => {
          visits.get(subject)?.push(await subject.visit(operation, mark))
        })
      )
    )
    await Promise.all(round)
    if (!isLast) await delay(PAUSE_MS)
  }
  return visits
}

interface Course {
  visits: Visit[]
  /** Start of the fault, by `performance.now()`. */
  startedAt: number
}

async function conclude(fault: Fault, subject: Subject, { visits, startedAt }: Course): Promise<Report> {
  const broken = new Set<string>()
  for (const visit of visits) {
    const allowed = allowedDuring(fault, subject, visit.operation, visit.sentAt - startedAt)
    for (const text of judge(visit, allowed, fault.reason)) broken.add(`during the fault ${text}`)
  }
  const letIn = visits.filter(({ operation, answer }) => operation === 'verify' && answer.statusCode === 200)
  if (subject.handlerRuns() !== letIn.length) broken.add('a guarded handler has run in spite of a refusal')

  const backAfterMs = await untilBack(fault, subject, broken)
  for (const text of await findAftermath(fault, subject, visits)) broken.add(`afterwards ${text}`)
  return { subject, visits, backAfterMs, broken: [...broken] }
}

async function untilBack({ afterwards = 200, reason }: Fault, subject: Subject, broken: Set<string>): Promise<number> {
  const endedAt = performance.now()
  const starvedMs = watchStarvation()
  for (;;) {
    // The list calls the store also for a cached session.
    const visits = [await subject.visit('verify'), await subject.visit('list')]
    const tookMs = performance.now() - endedAt - starvedMs()
    for (const text of visits.flatMap((visit) => judge(visit, [afterwards, 503], reason)))
      broken.add(`after the fault ${text}`)
    if (visits.every(({ answer }) => answer.statusCode === afterwards)) return tookMs
    if (tookMs > TIME_LIMIT_MS) return Number.POSITIVE_INFINITY
    await delay(10)
  }
}
