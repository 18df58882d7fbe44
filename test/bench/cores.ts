import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** Which core does what, or null where there is one core only or no taskset. */
export interface Cores {
  /** The server that is measured, alone. */
  server: number
  /** The load generator, Redis, the upstream and the run itself. */
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

/** Every thread of a process that runs. */
export function pin(pid: number, core: number): void {
  execFileSync('taskset', ['--all-tasks', '--cpu-list', '--pid', String(core), String(pid)], { stdio: 'ignore' })
}

/** Not all that the machine has: a container is often given some of them. */
function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? ''
  return list.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, index) => first + index)
  })
}
