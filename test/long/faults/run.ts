// The long part of the fault suite: `npm run test:faults`, optionally with names of faults. `--short`: one trial of one
// second for each fault.
import { markdownTable } from '../../fixtures/markdown-table.js'
import { CLOCK_FAULTS } from './clocks.js'
import { type Fault, OPERATIONS, type Operation } from './fault.js'
import { FAULTS } from './faults.js'
import { BACK_WITHIN_MS } from './judge.js'
import { type Report, runFault, type Trial } from './run-fault.js'
import type { Visit } from './subject.js'

const CLIENTS = ['own', 'injected'] as const

const TRIALS: readonly Trial[] = [
  { parallel: 20, lastsMs: 1_000, clients: CLIENTS },
  { parallel: 20, lastsMs: 1_000, clients: CLIENTS },
  // Longer than any pause of ioredis between two attempts to connect.
  { parallel: 10, lastsMs: 8_000, clients: CLIENTS }
]

const HEAD = [
  'fault',
  'client',
  'cache',
  'lasts, s',
  'requests',
  ...OPERATIONS,
  'slowest answer, ms',
  'back after, ms',
  'rules broken'
]

const failures: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => failures.push(`${event}: ${error}`))
}

const names = process.argv.slice(2).filter((name) => name !== '--short')
const trials = process.argv.includes('--short') ? TRIALS.slice(0, 1) : TRIALS
const rows: (string | number)[][] = []
const all = [...FAULTS, ...CLOCK_FAULTS]
// A warm-up, because code is slow at first.
await runFault(all[0] as Fault, { parallel: 5, lastsMs: 500, clients: CLIENTS })
for (const fault of all) {
  if (names.length > 0 && !names.includes(fault.name)) continue
  for (const trial of trials) {
    await runTrial(fault, trial).catch((error: unknown) => failures.push(`${fault.name}: ${error}`))
  }
}
console.log(markdownTable(HEAD, rows))
for (const failure of failures) console.error(failure)
process.exit(failures.length === 0 && rows.length > 0 ? 0 : 1)

async function runTrial(fault: Fault, trial: Trial): Promise<void> {
  console.error(`${fault.name}, ${trial.lastsMs / 1_000} s`)
  for (const report of await runFault(fault, trial)) {
    const { subject, broken, backAfterMs } = report
    if (backAfterMs > BACK_WITHIN_MS) broken.push('the service is back too late')
    failures.push(...broken.map((text) => `${fault.name}, ${subject.name}: ${text}`))
    rows.push(rowOf(fault, trial, report))
  }
}

function rowOf(fault: Fault, { lastsMs }: Trial, { subject, visits, backAfterMs, broken }: Report) {
  return [
    fault.name,
    subject.client,
    subject.isCached ? 'on' : 'off',
    lastsMs / 1_000,
    visits.length,
    ...OPERATIONS.map((operation) => statusesOf(visits, operation)),
    Math.round(Math.max(...visits.map(({ tookMs, starvedMs }) => tookMs - starvedMs))),
    Math.round(backAfterMs),
    broken.length
  ]
}

/** The statuses of an operation, most frequent first. */
function statusesOf(visits: Visit[], operation: Operation): string {
  const counts = new Map<number, number>()
  for (const visit of visits) {
    if (visit.operation !== operation) continue
    const { statusCode } = visit.answer
    counts.set(statusCode, (counts.get(statusCode) ?? 0) + 1)
  }
  return [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([status]) => status)
    .join(', ')
}
