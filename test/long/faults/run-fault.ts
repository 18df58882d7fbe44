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

/** How a fault is tried out. */
export interface Trial {
  /** Requests of each operation at the same time. */
  parallel: number
  /** How long the fault lasts, in milliseconds: longer than a cache may be stale. */
  lastsMs: number
  /** Where the fault does not say with what client it is met. Default: own. */
  clients?: readonly ClientKind[]
}

/** What became of one app. */
export interface Report {
  subject: Subject
  /** While the fault lasted. */
  visits: Visit[]
  /** Milliseconds from the end of the fault until a session from before was answered as it should be. */
  backAfterMs: number
  /** The rules that were broken, in words, each once. */
  broken: string[]
}

const PAUSE_MS = 100
/** Then it is not waited for any longer. */
const GIVE_UP_MS = 15_000

/** Lets a fault happen to each kind of app at the same time, on a server that is theirs alone. */
export async function runFault(fault: Fault, trial: Trial): Promise<Report[]> {
  return withTeardown(async (t) => {
    const stage = await setStage(t, fault)
    const subjects = await createSubjects(t, { fault, stage, clients: fault.clients ?? trial.clients ?? ['own'] })
    // Once, also when something was not as expected: another one may follow in this process.
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

/** Again and again until the last ones were sent after all that time. */
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
  /** By `performance.now()`. */
  startedAt: number
}

async function conclude(fault: Fault, subject: Subject, { visits, startedAt }: Course): Promise<Report> {
  const broken = new Set<string>()
  for (const visit of visits) {
    const allowed = allowedDuring(fault, subject, visit.operation, visit.sentAt - startedAt)
    for (const text of judge(visit, allowed, fault.reason)) broken.add(`while it lasts ${text}`)
  }
  const letIn = visits.filter(({ operation, answer }) => operation === 'verify' && answer.statusCode === 200)
  if (subject.handlerRuns() !== letIn.length) broken.add('a guarded handler has run behind a refusal')

  const backAfterMs = await untilBack(fault, subject, broken)
  for (const text of await findAftermath(fault, subject, visits)) broken.add(`afterwards ${text}`)
  return { subject, visits, backAfterMs, broken: [...broken] }
}

async function untilBack({ afterwards = 200, reason }: Fault, subject: Subject, broken: Set<string>): Promise<number> {
  const endedAt = performance.now()
  const starvedMs = watchStarvation()
  for (;;) {
    // Even if the session is cached, the list asks the store.
    const visits = [await subject.visit('verify'), await subject.visit('list')]
    const tookMs = performance.now() - endedAt - starvedMs()
    for (const text of visits.flatMap((visit) => judge(visit, [afterwards, 503], reason)))
      broken.add(`when it is over ${text}`)
    if (visits.every(({ answer }) => answer.statusCode === afterwards)) return tookMs
    if (tookMs > GIVE_UP_MS) return Number.POSITIVE_INFINITY
    await delay(10)
  }
}
