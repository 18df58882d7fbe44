// Outages longer than the idle timeout: `npm run test:idle`, optionally with names of outages.
import { markdownTable } from '../../fixtures/markdown-table.js'
import { type Cast, nameOf } from './idle-roles.js'
import { type IdleReport, runIdle } from './idle-run.js'
import type { IdleWay } from './idle-scene.js'
import type { IdleUser } from './idle-user.js'
import { IDLE_WAYS } from './idle-ways.js'

const HEAD = ['outage', 'process', 'active users', 'their answers', 'logged out', 'idle user', 'let in', 'rules broken']

const failures: string[] = []
for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
  process.on(event, (error: unknown) => failures.push(`${event}: ${error}`))
}

const names = process.argv.slice(2)
const rows: (string | number)[][] = []
for (const way of IDLE_WAYS) {
  if (names.length > 0 && !names.includes(way.name)) continue
  for (const cast of ['mixed', 'all restarted'] as const) {
    console.error(`${way.name}, ${cast}`)
    await runWay(way, cast).catch((error: unknown) => failures.push(`${way.name}, ${cast}: ${error}`))
  }
}
console.log(markdownTable(HEAD, rows))
for (const failure of failures) console.error(failure)
process.exit(failures.length === 0 && rows.length > 0 ? 0 : 1)

async function runWay(way: IdleWay, cast: Cast): Promise<void> {
  for (const report of await runIdle(way, cast)) {
    const { role, active, idle } = report
    const broken = [...active, idle].flatMap((user) => [...user.broken])
    for (const text of new Set(broken)) {
      failures.push(`${way.name}, ${cast}, ${nameOf(role)}: ${text}`)
      console.error(failures.at(-1))
    }
    rows.push([way.name, nameOf(role), ...cellsOf(report), broken.length])
  }
}

function cellsOf({ active, idle }: IdleReport): (string | number)[] {
  const starved = active.filter(({ isStarved }) => isStarved).length
  return [
    active.length - starved,
    statusesOf(active),
    active.filter((user) => user.answers.has(401) && !user.isStarved).length,
    statusesOf([idle]),
    idle.answers.has(200) ? 1 : 0
  ]
}

/** Statuses with counts, most frequent first. */
function statusesOf(users: IdleUser[]): string {
  const counts = new Map<number, number>()
  for (const { answers } of users) {
    for (const [status, count] of answers) counts.set(status, (counts.get(status) ?? 0) + count)
  }
  return [...counts]
    .toSorted(([, a], [, b]) => b - a)
    .map(([status, count]) => `${count} × ${status}`)
    .join(', ')
}
