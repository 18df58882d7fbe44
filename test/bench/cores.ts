import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** The cores of the processes, or null with a single core or without taskset. */
export interface Cores {
  /** The core of the measured server alone. */
  server: number
  /** The core of the load generator, Redis, the upstream and the run. */
  others: number
}

export function findCores(): Cores | null {
  try {
    const [others, server] = allowedCores()
    if (others === undefined || server === undefined) return null
    pin(process.pid, others)
    return { server, others }
  } catch {
    return null
  }
}

/** Pins every thread of a running process to a core. */
export function pin(pid: number, core: number): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(core), String(pid)], { stdio: 'ignore' })
}

/** The cores that the process may use: in a container often not all cores of the machine. */
function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
