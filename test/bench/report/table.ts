import { markdownTable } from '../../fixtures/markdown-table.js'
import { grouped } from '../measure/bench.js'
import { describeNoise } from '../measure/noise.js'
import type { Revocation } from '../measure/revocation.js'
import { NONE, spread } from './cells.js'
import { drawComparisons } from './comparisons.js'
import { DESCRIBE_GROWTH, drawGrowth, drawMemory } from './growth-table.js'
import type { Results, ServerResults } from './results.js'

/** The results as Markdown: medians of the rounds, with the lowest and the highest value in brackets. */
export function drawTables(results: Results): string {
  const { facts, noise, servers, comparisons, revocation, memory, growth, notAvailable } = results
  const { date, machine, runtimes, cores, loadAverageBefore, method, packages } = facts
  const sections = [
    `# Benchmarks of ${date}`,
    `${date}, ${machine}; load average before the run: ${loadAverageBefore}. ${runtimes}. Each figure is a median over the ` +
      `rounds, with the lowest and the highest round in brackets: ${method}; ${cores}.`,
    describeNoise(noise),
    `Packages: ${packages}.`,
    ...notAvailable.map((text) => `${text}.`),
    '## `GET /me` with a session',
    drawVerification(servers),
    describeLimits(servers),
    '## Login and logout',
    'A login calls an upstream over HTTP first. Commands are the commands that Redis receives in one request.',
    drawLogins(servers),
    '## Side by side',
    DESCRIBE_COMPARISONS,
    drawComparisons(comparisons),
    '## A logout, in the other processes',
    drawRevocation(revocation),
    ...(growth.length === 0 ? [] : ['## With more sessions in Redis', DESCRIBE_GROWTH, drawGrowth(growth)]),
    ...(memory === null ? [] : ['## Memory of a session', drawMemory(memory, growth)])
  ]
  return `${sections.filter((text) => text !== '').join('\n\n')}\n`
}

function drawVerification(servers: ServerResults[]): string {
  const head = [
    'server',
    'requests/s',
    'CPU µs above bare',
    'of bare',
    'p50 ms',
    'p99 ms',
    'Redis commands',
    'Redis CPU µs',
    'RSS MB above bare',
    'logout ends the session'
  ]
  const rows = servers.map(({ title, verification, commands, endsAtLogout }) => [
    title,
    spread(verification.perSecond, 0),
    spread(verification.cpuMicrosAboveBare, 1),
    spread(verification.ofBare, 2),
    spread(verification.p50Ms, 2),
    spread(verification.p99Ms, 2),
    list(commands.verify),
    commands.verify.length === 0 ? NONE : spread(verification.redisCpuMicros, 1),
    spread(verification.rssMegabytesAboveBare, 0),
    endsAtLogout ? 'yes' : 'no'
  ])
  return markdownTable(head, rows)
}

/** Names servers that were limited by another process: the rate does not describe the server. */
function describeLimits(servers: ServerResults[]): string {
  const waiting = servers.filter(({ verification }) => verification.busy < 0.95)
  if (waiting.length === 0) return ''
  const shares = waiting.map(({ title, verification }) => `${title} ${verification.busy.toFixed(2)}`)
  return `Not limited by the server's own core, of which it used: ${shares.join('; ')}.`
}

function drawLogins(servers: ServerResults[]): string {
  const head = ['server', 'logins/s', 'CPU µs', 'Redis commands', 'logouts/s', 'Redis commands', 'bytes in Redis each']
  const rows = servers.map(
    ({ title, commands, loginsPerSecond, loginCpuMicros, logoutsPerSecond, bytesPerSession }) => [
      title,
      spread(loginsPerSecond, 0),
      spread(loginCpuMicros, 0),
      list(commands.login),
      spread(logoutsPerSecond, 0),
      list(commands.logout),
      commands.login.length === 0 ? NONE : spread(bytesPerSession, 0)
    ]
  )
  return markdownTable(head, rows)
}

/** The goal: 99 % of the other processes refuse an ended session within the milliseconds. */
const REVOCATION_GOAL_MS = 5

function drawRevocation({ processes, delaysMs, roundTripsMs }: Revocation): string {
  const quantile = (sorted: number[], share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? Number.NaN
  const rowOf = (title: string, sorted: number[]) => [
    title,
    ...[0.5, 0.99, 1].map((share) => quantile(sorted, share).toFixed(2)),
    grouped(sorted.length)
  ]
  const isReached = quantile(delaysMs, 0.99) <= REVOCATION_GOAL_MS
  const text =
    `${processes} processes with the cache over one Redis. Each process has a session in its cache, and one process ends the ` +
    'session: from the reply to the logout until each other process refuses the session. After each logout the same process ' +
    'publishes in Redis, and each other process publishes an answer. The processes are warm: the first logouts do not count. ' +
    `Goal: p99 at most ${REVOCATION_GOAL_MS} ms, ${isReached ? 'reached' : 'missed'}.`
  const head = ['', 'p50 ms', 'p99 ms', 'max ms', 'measured']
  const rows = [rowOf('a logout, in the other processes', delaysMs), rowOf('a bare pub/sub round trip', roundTripsMs)]
  return `${text}\n\n${markdownTable(head, rows)}`
}

const DESCRIBE_COMPARISONS =
  'Short batches of both sides in turn. CPU microseconds of the server per request, and the ratio: 10th percentile, 25th percentile and ' +
  'median of the batches. Redis CPU: medians of both sides.'

function list(commands: string[]): string {
  return commands.length === 0 ? NONE : `${commands.length}: ${commands.join(', ')}`
}
