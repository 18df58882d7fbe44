import type { FastifyInstance } from 'fastify'
import { markdownTable } from '../../fixtures/markdown-table.js'
import { withTeardown } from '../../fixtures/with-teardown.js'
import { type PlannedFailover, runPlannedFailover } from './planned.js'
import { FAULTS, type Fault, type Round, runRound } from './round.js'
import { SETUPS, type Setup, type SetupName } from './setup.js'
import { startApp } from './start-app.js'

/** Failures per setup and fault. The second argument may name a setup. */
const rounds = Number(process.argv[2] ?? 10)
const names = (['Sentinel', 'Cluster'] as const).filter((name) => name === (process.argv[3] ?? name))
const REVOCATIONS = 1_000
const LOAD = { users: 50, workers: 4, heals: true }
/** Limit for the service after the servers are back. */
const BACK_WITHIN_MS = 2_000

const failures: string[] = []
const faultRows: (string | number)[][] = []
const plannedRows: (string | number)[][] = []

async function failOften(setup: Setup, app: FastifyInstance, name: string, fault: Fault): Promise<void> {
  const seen: Round[] = []
  for (let i = 1; i <= rounds; i++) {
    const round = await runRound(setup, app, { fault, ...LOAD })
    seen.push(round)
    const after = Math.round(round.backMs - round.failoverMs)
    console.log(
      `${name}, ${i}: replica is master after ${Math.round(round.failoverMs)} ms, service back ${after} ms later`
    )
    failures.push(...round.wrong.map((text) => `${name}, ${i}: ${text}`))
    if (after > BACK_WITHIN_MS) failures.push(`${name}, ${i}: back ${after} ms after the servers`)
  }
  const sum = (pick: (round: Round) => number) => seen.reduce((total, round) => total + pick(round), 0)
  const [failover, after] = [
    seen.map((round) => round.failoverMs),
    seen.map((round) => round.backMs - round.failoverMs)
  ]
  faultRows.push([
    ...[name, rounds, range(failover), range(after), sum(({ good }) => good), sum(({ refused }) => refused)],
    ...[Math.round(Math.max(...seen.map(({ slowestAnswerMs }) => slowestAnswerMs)))],
    `${sum(({ lostLogins }) => lostLogins)} of ${sum(({ logins }) => logins)}`,
    `${sum(({ lostLogouts }) => lostLogouts)} of ${sum(({ logouts }) => logouts)}`
  ])
}

async function failOverOften(setup: Setup, app: FastifyInstance, name: string, mayLose: boolean): Promise<void> {
  const seen: PlannedFailover[] = []
  for (let i = 1; i <= rounds; i++) {
    const planned = await runPlannedFailover(setup, app, REVOCATIONS)
    seen.push(planned)
    console.log(`${name}, ${i}: ${JSON.stringify(planned)}`)
  }
  const sum = (key: keyof PlannedFailover) => seen.reduce((total, planned) => total + planned[key], 0)
  if (!mayLose && sum('cameBack') > 0) failures.push(`${name}: ${sum('cameBack')} revocations came back`)
  plannedRows.push([name, rounds, sum('acknowledged'), sum('acknowledgedBefore'), sum('refused'), sum('cameBack')])
}

function range(values: number[]): string {
  const sorted = values.map(Math.round).toSorted((a, b) => a - b)
  return `${sorted[0]} / ${sorted[Math.floor(sorted.length / 2)]} / ${sorted.at(-1)}`
}

async function runAll(name: SetupName): Promise<void> {
  for (const cache of [false, true]) {
    for (const fault of FAULTS) {
      await withTeardown(async (t) => {
        const setup = await SETUPS[name](t)
        const app = await startApp(t, { redis: setup.connect(), cache })
        await failOften(setup, app, `${name}, ${fault}, cache ${cache ? 'on' : 'off'}`, fault)
      })
    }
  }
  for (const minReplicas of [undefined, 1]) {
    await withTeardown(async (t) => {
      const setup = await SETUPS[name](t)
      const app = await startApp(t, { redis: setup.connect(), minReplicas })
      await failOverOften(setup, app, `${name}, \`minReplicas\` ${minReplicas ?? 'off'}`, minReplicas === undefined)
    })
  }
}

// In sequence, so that the setups do not slow each other down.
for (const name of names) await runAll(name).catch((error) => failures.push(`${name}: ${error}`))

const faultHead = [
  ...['master fails', 'times', 'replica is master after (ms: least / median / most)', 'service back later by (ms)'],
  ...['good answers', '503', 'slowest answer (ms)', 'logins lost', 'logouts lost']
]
const plannedHead = [
  'planned failover',
  'times',
  'revocations acknowledged',
  'before it',
  'refused and tried again',
  'came back'
]
console.log(
  `\n${markdownTable(faultHead, faultRows.toSorted())}\n\n${markdownTable(plannedHead, plannedRows.toSorted())}`
)
for (const failure of failures) console.error(failure)
process.exitCode = failures.length === 0 ? 0 : 1
